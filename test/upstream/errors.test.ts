import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { fromNetworkError, isOutage, pushFailure } from '../../src/upstream/errors.ts';
import { type Body, bodyOf } from '../../src/upstream/http/body.ts';

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

describe('what a registry says about a refusal', () => {
  const url = new URL('https://registry.test/v2/team/app/manifests/v1');
  const replyOf = (body: Body) => ({ status: 400, headers: {}, url, target: url.pathname, body });
  const documentOf = (message: string, pad = '') => JSON.stringify({ errors: [{ code: 'X', message }], pad });
  const plain = 'registry.test answered 400 to the push';

  test.each([
    [200, 200],
    [201, 200],
  ])('of %d characters, %d are passed on', async (characters, passedOn) => {
    const message = 'm'.repeat(characters);
    const error = await pushFailure(replyOf(bodyOf(Buffer.from(documentOf(message)))), 'the push');
    expect(error.message).toBe(`${plain}: ${message.slice(0, passedOn)}`);
  });

  test.each([
    [64 * 1024, `${plain}: no`],
    [64 * 1024 + 1, plain],
  ])('in a document of %d bytes: %s', async (sizeBytes, message) => {
    const text = documentOf('no', 'p'.repeat(sizeBytes - documentOf('no').length));
    const error = await pushFailure(replyOf(bodyOf(Buffer.from(text))), 'the push');
    expect(error.message).toBe(message);
  });

  test('has a second to arrive, because no other endpoint is asked before', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
    onTestFinished(() => void vi.useRealTimers());
    let isGivenUp = false;
    const body: Body = {
      read: () => new Promise(() => {}),
      cancel: () => {
        isGivenUp = true;
      },
    };
    void pushFailure(replyOf(body), 'the push');
    vi.advanceTimersByTime(999);
    expect(isGivenUp).toBe(false);
    vi.advanceTimersByTime(1);
    expect(isGivenUp).toBe(true);
  });
});
