import { describe, expect, test } from 'vitest';
import { SealedCookie, sessionsIn } from '../../src/site/sealed-cookie.ts';
import { randomTokenKey } from '../../src/site/token.ts';

const LIFETIME_MS = 60_000;
const tokenKey = randomTokenKey();

interface Content {
  readonly user: string;
}

function cookies(more: { name?: string; tokenKey?: Uint8Array } = {}) {
  const clock = { ms: 1_700_000_000_000 };
  const options = {
    name: 'metahub-site',
    lifetimeMs: LIFETIME_MS,
    tokenKey,
    wallClock: () => clock.ms,
    ...more,
  };
  return { clock, cookie: new SealedCookie<Content>(options) };
}

/** What a browser sends back, beside cookies of others. */
const sentBack = (setCookie: string) => `other=1; ${setCookie.split(';')[0]}; metahub-site-not=2`;

describe('a sealed cookie', () => {
  test.each([
    [false, 'metahub-site', 'Path=/; HttpOnly; SameSite=Lax'],
    // https://www.rfc-editor.org/rfc/rfc6265bis#section-4.1.3.2
    [true, '__Host-metahub-site', 'Path=/; HttpOnly; SameSite=Lax; Secure'],
  ])(
    'is set for the whole site, for scripts of no page, and by TLS for this host alone (%s)',
    (isSecure, name, attributes) => {
      const { cookie } = cookies();
      const begun = cookie.begin({ user: 'lab' }, isSecure);
      const [pair = '', ...rest] = begun.split('; ');
      expect(pair.slice(0, pair.indexOf('='))).toBe(name);
      expect(pair).not.toContain('lab');
      expect(rest.join('; ')).toBe(`Max-Age=60; ${attributes}`);
      expect(cookie.remove(isSecure)).toBe(`${name}=; Max-Age=0; ${attributes}`);
      expect(cookie.read(sentBack(begun), isSecure)).toEqual({ user: 'lab' });
      expect(cookie.read(sentBack(begun), !isSecure)).toBeUndefined();
    },
  );

  test('is read until it expires', () => {
    const { cookie, clock } = cookies();
    const sent = sentBack(cookie.begin({ user: 'lab' }, true));
    clock.ms += LIFETIME_MS - 1;
    expect(cookie.read(sent, true)).toEqual({ user: 'lab' });
    clock.ms += 1;
    expect(cookie.read(sent, true)).toBeUndefined();
  });

  test('is read until it is ended, and no other one with it', async () => {
    const { cookie } = cookies();
    const [one, other] = [cookie.begin({ user: 'lab' }, true), cookie.begin({ user: 'lab' }, true)];
    expect(await cookie.end(sentBack(one), true)).toBe(cookie.remove(true));
    expect(cookie.read(sentBack(one), true)).toBeUndefined();
    expect(cookie.read(sentBack(other), true)).toEqual({ user: 'lab' });
    expect(await cookie.end(undefined, false)).toBe(cookie.remove(false));
  });

  test.each([
    ['nothing', undefined],
    ['an empty one', '__Host-metahub-site='],
    ['one that nobody has sealed', '__Host-metahub-site=e30'],
    ['one under another name', 'metahub-site=e30'],
  ])('is none of %s', (_, sent) => {
    expect(cookies().cookie.read(sent, true)).toBeUndefined();
  });

  test('is none of one of another name or another site', () => {
    const { cookie } = cookies();
    for (const other of [cookies({ name: 'metahub-session' }), cookies({ tokenKey: randomTokenKey() })]) {
      const value = other.cookie.begin({ user: 'lab' }, true).split(';')[0]?.split('=')[1];
      expect(cookie.read(`__Host-metahub-site=${value}`, true)).toBeUndefined();
    }
  });
});

test('sessionsIn() leaves the cookies of others out', () => {
  const own = ['metahub-site=a', '__Host-metahub-site=b', 'metahub-session=c', '__Host-metahub-session=d'];
  const others = ['other=1', 'not-metahub-site=2', 'metahub-site-2=3', '__Secure-metahub-site=4'];
  expect(sessionsIn([...others, ...own].join('; '))).toBe(own.join('; '));
  expect(sessionsIn('')).toBe('');
});
