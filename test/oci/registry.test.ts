import { expect, test } from 'vitest';
import { parseSourceHost, type SourceHost } from '../../src/oci/reference.ts';
import { ClientCredential, hasOwnLogin } from '../../src/oci/registry.ts';

const host = (text: string) => parseSourceHost(text) as SourceHost;

test("a client's login is sent to the registry that it was meant for, and to no other", () => {
  const credential = new ClientCredential(host('ghcr.io'), 'Basic c2VjcmV0');
  expect(credential.authorizationFor(host('ghcr.io'))).toBe('Basic c2VjcmV0');
  for (const other of ['docker.io', 'ghcr.io.evil.example', 'ghcr.io:5000', 'a.ghcr.io']) {
    expect(credential.authorizationFor(host(other)), other).toBeUndefined();
  }
});

test("a client's login does not appear when it is logged", () => {
  const credential = new ClientCredential(host('ghcr.io'), 'Basic c2VjcmV0');
  expect(JSON.stringify(credential)).toBe('{}');
  expect(String(credential)).not.toContain('c2VjcmV0');
});

test.each([
  ['nobody', undefined, false],
  ['an account', { partition: 'a' }, false],
  ['an account with logins of its own', { partition: 'a', logins: '/etc/logins' }, true],
  ['a client with a login', { partition: 'a', credential: new ClientCredential(host('ghcr.io'), 'x') }, true],
])('hasOwnLogin() detects %s', (_, access, expected) => {
  expect(hasOwnLogin(access)).toBe(expected);
});
