import { describe, expect, test } from 'vitest';
import { exposureWarnings, usableLogins } from '../../../src/cli/serve/exposure.ts';

const LOOPBACK = { address: '127.0.0.1', hasLogins: false };
const NETWORK = { address: '0.0.0.0', hasLogins: false };
const SITE = { address: '0.0.0.0', hasLogins: true };
const STORED = import.meta.filename;
const ABSENT = '/nonexistent/config.json';
/** Logins of the user that the mirror runs as, and logins given to the mirror itself. */
const OF_USER = { given: [ABSENT], ofUser: [STORED] };
const GIVEN = { given: [STORED], ofUser: [ABSENT] };
const NO_LOGINS = { given: [ABSENT], ofUser: [] };

describe('usableLogins()', () => {
  test.each([
    ['auto', LOOPBACK, 'given'],
    ['auto', { ...LOOPBACK, address: '::1' }, 'given'],
    ['auto', NETWORK, 'none'],
    ['auto', { ...NETWORK, address: '192.0.2.7' }, 'none'],
    ['auto', SITE, 'all'],
    ['on', LOOPBACK, 'all'],
    ['on', NETWORK, 'all'],
    ['off', LOOPBACK, 'none'],
    ['off', SITE, 'none'],
  ] as const)('%s at %o is %s', (setting, exposure, expected) => {
    expect(usableLogins(setting, exposure)).toBe(expected);
  });
});

describe('exposureWarnings()', () => {
  const eventsOf = (...asked: Parameters<typeof exposureWarnings>) =>
    exposureWarnings(...asked).map(({ event, isHarmless }) => [event, isHarmless]);

  test('says that everyone on this machine pulls with the logins given to the mirror, and how to end it', () => {
    const [warning] = exposureWarnings('auto', LOOPBACK, GIVEN);
    expect(warning).toMatchObject({ event: 'own-logins-shared', isHarmless: true });
    expect(warning?.message).toContain(STORED);
    expect(warning?.message).toContain('--own-logins off');
    expect(warning?.message).not.toContain(ABSENT);
  });

  test('says that the logins of the user are not used on loopback, and how to use them', () => {
    const [warning] = exposureWarnings('auto', LOOPBACK, OF_USER);
    expect(warning).toMatchObject({ event: 'own-logins-unused', isHarmless: true });
    expect(warning?.message).toContain('--own-logins on');
    expect(eventsOf('on', LOOPBACK, OF_USER)).toEqual([['own-logins-shared', true]]);
  });

  test('says nothing on loopback when no login is stored, or none is used', () => {
    expect(exposureWarnings('auto', LOOPBACK, NO_LOGINS)).toEqual([]);
    expect(exposureWarnings('off', LOOPBACK, GIVEN)).toEqual([]);
  });

  test('warns of an anonymous mirror on a network, with the stored logins or without', () => {
    expect(eventsOf('auto', NETWORK, NO_LOGINS)).toEqual([['anonymous-mirror', false]]);
    expect(eventsOf('auto', NETWORK, GIVEN)).toEqual([
      ['anonymous-mirror', false],
      ['own-logins-unused', true],
    ]);
    expect(eventsOf('on', NETWORK, OF_USER)).toEqual([
      ['anonymous-mirror', false],
      ['own-logins-shared', false],
    ]);
  });

  test('does not warn of a site, where every request shows a login', () => {
    expect(exposureWarnings('auto', SITE, GIVEN)).toEqual([]);
  });
});
