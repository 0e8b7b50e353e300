import { describe, expect, test } from 'vitest';
import { fromNetworkError, isOutage } from '../../src/upstream/errors.ts';

const failure = (code: string) => Object.assign(new Error('it failed'), { code });

describe('fromNetworkError()', () => {
  test.each([
    ['EMFILE', failure('EMFILE')],
    ['ENFILE', failure('ENFILE')],
    ['a lack of handles for every address', new AggregateError([failure('EMFILE'), failure('ECONNREFUSED')])],
    ['a lack of handles beneath', new Error('the request failed', { cause: failure('EMFILE') })],
  ])('does not blame the registry for %s', (_, error) => {
    const answer = fromNetworkError(error, 'registry.test');
    expect(answer).toMatchObject({ status: 503, headers: { 'retry-after': '1' } });
    expect(isOutage(answer)).toBe(false);
  });

  test('blames the registry for what the registry refuses', () => {
    const answer = fromNetworkError(failure('ECONNREFUSED'), 'registry.test');
    expect(answer).toMatchObject({ status: 502 });
    expect(isOutage(answer)).toBe(true);
  });
});
