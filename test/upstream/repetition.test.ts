import { expect, test } from 'vitest';
import { RegistryError } from '../../src/oci/registry-error.ts';
import { BrokenBodyError } from '../../src/upstream/http/body.ts';
import { waitBeforeRepeat } from '../../src/upstream/repetition.ts';

const refused = (status: number, retryAfter?: string) =>
  new RegistryError(status === 429 ? 'TOOMANYREQUESTS' : 'UNAVAILABLE', 'refused', {
    status,
    headers: retryAfter === undefined ? {} : { 'retry-after': retryAfter },
  });

test.each([
  ['a broken connection', new BrokenBodyError('reset'), 100],
  ['502', refused(502), 100],
  ['429', refused(429), 800],
  ['503', refused(503), 800],
  ['429 with Retry-After: 0', refused(429, '0'), 800],
  ['429 with Retry-After: 3', refused(429, '3'), 3000],
  ['503 with Retry-After: 10', refused(503, '10'), 10_000],
  ['502 with Retry-After: 3', refused(502, '3'), 3000],
  ['429 with Retry-After: 11', refused(429, '11'), 10_000],
  ['429 with a Retry-After of a century', refused(429, '3153600000'), 10_000],
  ['429 with a date in Retry-After', refused(429, 'Fri, 31 Dec 1999 23:59:59 GMT'), 800],
  [
    'a download that broke off because of 429 with Retry-After: 11',
    new BrokenBodyError('broke off', { cause: refused(429, '11') }),
    10_000,
  ],
])('waitBeforeRepeat() after %s, with a pause of 100 ms', (_, failure, waitMs) => {
  expect(waitBeforeRepeat(failure, 100)).toBe(waitMs);
});
