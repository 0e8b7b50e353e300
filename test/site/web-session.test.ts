import { expect, test } from 'vitest';
import type { SharedState } from '../../src/lib/shared-state.ts';
import type { AccountIdentity } from '../../src/site/account.ts';
import { randomTokenKey } from '../../src/site/token.ts';
import { WebSessions } from '../../src/site/web/session.ts';
import { MemoryServer } from '../support/memory-store.ts';

const TOKEN_KEY = randomTokenKey();
const identityOf = (login: string, user: string) =>
  ({ login, account: { user }, password: { text: 'hash' } }) as unknown as AccountIdentity;
const LAB = identityOf('lab', 'lab');

function sessionsOf(find: () => AccountIdentity, shared?: SharedState) {
  return new WebSessions({ tokenKey: TOKEN_KEY, find, wallClock: () => 1_700_000_000_000, shared });
}

const cookieOf = (written: string) => written.split(';')[0];

test('a session of the pages ends when its login has become a machine’s of another account', () => {
  let found = LAB;
  const sessions = sessionsOf(() => found);
  const cookie = cookieOf(sessions.begin(LAB, false));
  expect(sessions.identityIn(cookie, false)).toBe(LAB);
  found = identityOf('lab', 'other');
  expect(sessions.identityIn(cookie, false)).toBeUndefined();
});

test('a session of the pages that ends at one replica has ended at every other', async () => {
  const server = new MemoryServer();
  const [one, other] = await Promise.all(
    ['one', 'other'].map(async () => {
      const { state } = server.replica();
      const sessions = sessionsOf(() => LAB, state);
      await expect.poll(() => state.trouble).toBeUndefined();
      return sessions;
    }),
  );
  const [ended, kept] = [cookieOf(one?.begin(LAB, true) ?? ''), cookieOf(one?.begin(LAB, true) ?? '')];
  expect([other?.identityIn(ended, true), other?.identityIn(kept, true)]).toEqual([LAB, LAB]);
  await one?.end(ended, true);
  await expect.poll(() => other?.identityIn(ended, true)).toBeUndefined();
  expect(other?.identityIn(kept, true)).toBe(LAB);
});
