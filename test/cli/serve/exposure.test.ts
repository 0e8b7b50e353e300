import { describe, expect, test } from 'vitest';
import { exposureWarnings, mayUseOwnLogins } from '../../../src/cli/serve/exposure.ts';

const LOOPBACK = { address: '127.0.0.1', hasLogins: false };
const NETWORK = { address: '0.0.0.0', hasLogins: false };
const SITE = { address: '0.0.0.0', hasLogins: true };
const STORED = import.meta.filename;
const ABSENT = '/nonexistent/config.json';

describe('mayUseOwnLogins()', () => {
  test.each([
    ['auto', LOOPBACK, true],
    ['auto', { ...LOOPBACK, address: '::1' }, true],
    ['auto', NETWORK, false],
    ['auto', { ...NETWORK, address: '192.0.2.7' }, false],
    ['auto', SITE, true],
    ['on', NETWORK, true],
    ['off', LOOPBACK, false],
    ['off', SITE, false],
  ] as const)('%s at %o is %s', (setting, exposure, expected) => {
    expect(mayUseOwnLogins(setting, exposure)).toBe(expected);
  });
});

describe('exposureWarnings()', () => {
  const eventsOf = (...asked: Parameters<typeof exposureWarnings>) =>
    exposureWarnings(...asked).map(({ event, isHarmless }) => [event, isHarmless]);

  test('says that everyone on this machine pulls with the stored logins, and how to end it', () => {
    const [warning] = exposureWarnings('auto', LOOPBACK, [ABSENT, STORED]);
    expect(warning).toMatchObject({ event: 'own-logins-shared', isHarmless: true });
    expect(warning?.message).toContain(STORED);
    expect(warning?.message).toContain('--own-logins off');
    expect(warning?.message).not.toContain(ABSENT);
  });

  test('says nothing on loopback when no login is stored, or none is used', () => {
    expect(exposureWarnings('auto', LOOPBACK, [ABSENT])).toEqual([]);
    expect(exposureWarnings('off', LOOPBACK, [STORED])).toEqual([]);
  });

  test('warns of an anonymous mirror on a network, with the stored logins or without', () => {
    expect(eventsOf('auto', NETWORK, [ABSENT])).toEqual([['anonymous-mirror', false]]);
    expect(eventsOf('auto', NETWORK, [STORED])).toEqual([
      ['anonymous-mirror', false],
      ['own-logins-unused', true],
    ]);
    expect(eventsOf('on', NETWORK, [STORED])).toEqual([
      ['anonymous-mirror', false],
      ['own-logins-shared', false],
    ]);
  });

  test('does not warn of a site, where every request shows a login', () => {
    expect(exposureWarnings('auto', SITE, [STORED])).toEqual([]);
  });
});
