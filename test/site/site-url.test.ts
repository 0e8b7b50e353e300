import { describe, expect, test } from 'vitest';
import { RegistryError } from '../../src/oci/registry-error.ts';
import { siteUrlFrom } from '../../src/site/client-address.ts';
import { basicRefusal, challenge, MESSAGES, unauthorized } from '../../src/site/responses.ts';
import { repository } from '../support/upstream.ts';

describe('the URL of a site', () => {
  test.each<[Record<string, string>, boolean, string | undefined]>([
    [{ host: 'hub.example.org' }, false, 'http://hub.example.org'],
    [{ host: 'hub.example.org:5080' }, true, 'https://hub.example.org:5080'],
    [{ host: 'hub.example.org', 'x-forwarded-proto': 'https' }, false, 'https://hub.example.org'],
    [{ host: 'hub.example.org', 'x-forwarded-proto': 'http' }, false, 'http://hub.example.org'],
    // A site with TLS of its own is not made plain by a header.
    [{ host: 'hub.example.org', 'x-forwarded-proto': 'http' }, true, 'https://hub.example.org'],
    [{ host: '[::1]:5080' }, false, 'http://[::1]:5080'],
    [{ host: '[2001:db8::1]' }, false, 'http://[2001:db8::1]'],
    [{}, false, undefined],
    [{ host: '' }, false, undefined],
    [{ host: 'a b' }, false, undefined],
    [{ host: 'a"b' }, false, undefined],
    [{ host: 'a/b' }, false, undefined],
    [{ host: 'user@a' }, false, undefined],
    [{ host: 'a:123456' }, false, undefined],
    [{ host: '[::1]x' }, false, undefined],
    [{ host: 'x[::1]' }, false, undefined],
  ])('is of the headers %j, with TLS %j: %j', (headers, tls, url) => {
    expect(siteUrlFrom({ tls })(headers)).toBe(url);
  });

  test('is the one that is set, without the slashes at its end, whatever the headers say', () => {
    const headers = { host: 'evil.example', 'x-forwarded-proto': 'http' };
    expect(siteUrlFrom({ url: 'https://hub.example.org//', tls: false })(headers)).toBe(
      'https://hub.example.org',
    );
    expect(siteUrlFrom({ url: 'https://hub.example.org', tls: false })({})).toBe('https://hub.example.org');
  });
});

describe('the challenge of a site', () => {
  const app = repository('lab/app', 'ghcr.io');

  test.each([
    ['no repository', {}, ''],
    ['a pull', { repository: app }, ',scope="repository:ghcr.io/lab/app:pull"'],
    ['a pull, as it says', { repository: app, action: 'pull' }, ',scope="repository:ghcr.io/lab/app:pull"'],
    ['a push', { repository: app, action: 'push' }, ',scope="repository:ghcr.io/lab/app:pull,push"'],
    [
      'another scope',
      { repository: app, error: 'insufficient_scope' },
      ',scope="repository:ghcr.io/lab/app:pull",error="insufficient_scope"',
    ],
  ] as const)('leads to the token service for %s', (_, more, rest) => {
    expect(challenge('https://hub.example.org', { repository: undefined, ...more })).toBe(
      `Bearer realm="https://hub.example.org/token",service="metahub"${rest}, Basic realm="metahub"`,
    );
  });

  test('is Basic alone when nobody knows the URL', () => {
    expect(challenge(undefined, { repository: app })).toBe('Basic realm="metahub"');
  });

  test.each([
    ['no-credentials', undefined, 'this site needs a login: docker login'],
    ['wrong-credentials', undefined, MESSAGES['wrong-credentials']],
    ['expired-access-token', undefined, MESSAGES['expired-access-token']],
    // RFC 6750, 3.1: the client may fetch another token.
    ['expired-token', 'invalid_token', MESSAGES['expired-token']],
    ['invalid-token', 'invalid_token', MESSAGES['invalid-token']],
  ] as const)('says what is wrong with credentials: %s', (reason, error, message) => {
    const refused = unauthorized({ reason }, { siteUrl: () => 'https://hub', headers: {}, repository: app });
    const why = error === undefined ? '' : `,error="${error}"`;
    expect(refused).toMatchObject({ code: 'UNAUTHORIZED', status: 401, message });
    expect(refused.headers).toEqual({
      'www-authenticate': `Bearer realm="https://hub/token",service="metahub",scope="repository:ghcr.io/lab/app:pull"${why}, Basic realm="metahub"`,
    });
  });
});

describe('a refusal outside the API of registries', () => {
  test('asks for Basic, and says how to send it where nothing came', () => {
    const refused = basicRefusal({ reason: 'no-credentials' });
    expect(refused).toBeInstanceOf(RegistryError);
    expect(refused).toMatchObject({
      ...{ code: 'UNAUTHORIZED', status: 401, headers: { 'www-authenticate': 'Basic realm="metahub"' } },
      message: 'this site needs a login: send user name and password by HTTP Basic',
    });
    expect(basicRefusal({ reason: 'wrong-credentials' }).message).toBe(MESSAGES['wrong-credentials']);
  });

  test.each([
    [undefined, '1'],
    [0, '1'],
    [1, '1'],
    [1000, '1'],
    [1001, '2'],
    [59_999, '60'],
  ])('after too many failures says to wait %j ms as %s s', (waitMs, seconds) => {
    const failures = { reason: 'too-many-failures', ...(waitMs !== undefined && { waitMs }) } as const;
    for (const refused of [
      basicRefusal(failures),
      unauthorized(failures, { siteUrl: () => undefined, headers: {} }),
    ]) {
      expect(refused).toMatchObject({
        ...{ code: 'TOOMANYREQUESTS', status: 429, headers: { 'retry-after': seconds } },
        message: `too many failed logins: wait ${seconds} s`,
      });
    }
  });
});
