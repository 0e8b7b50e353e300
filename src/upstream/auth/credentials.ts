import type { Repository } from '../../oci/reference.ts';
import type { Access } from '../../oci/registry.ts';

/** What a registry, or its token service, is shown. Secrets: never logged, never part of a message. */
export type Credential =
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  /** An OAuth2 refresh token, exchanged at the token service (`docker login` to Azure's registries stores one). */
  | { readonly kind: 'identity'; readonly token: string }
  /** A bearer token ready to be presented to the registry itself. */
  | { readonly kind: 'bearer'; readonly token: string };

/** Logins by registry host (`HOST[:PORT]`, Docker Hub as `docker.io`) and repository: the most specific one wins. */
export interface Credentials {
  loginFor(
    registry: string,
    repository: Repository['name'],
    signal?: AbortSignal,
    access?: Access,
  ): Promise<Credential | undefined>;
}

/** Nobody is logged in anywhere. */
export const NO_CREDENTIALS: Credentials = { loginFor: async () => undefined };

/** `Basic …` of a user name and password. */
export function basicAuthorization(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

/**
 * Token services that live neither on their registry's host, nor above it, nor below it.
 * Docker Hub: https://distribution.github.io/distribution/spec/auth/token/
 */
const KNOWN_REALMS: Readonly<Record<string, readonly string[]>> = {
  'registry-1.docker.io': ['auth.docker.io'],
  'registry.docker.io': ['auth.docker.io'],
};

/** Is `inner` a host of the domain `outer`, which has at least two labels? */
function isWithin(inner: string, outer: string): boolean {
  return outer.includes('.') && inner.endsWith(`.${outer}`);
}

/**
 * May the login for `registry` be shown to the token service at `realm`? Only on the registry's own host, its domain
 * (`registry.gitlab.com` and `gitlab.com`), a known one, or one that the operator trusts; never in clear text unless the
 * registry itself is spoken to so. The realm comes from the network: a login must not go wherever it points.
 * @see https://nvd.nist.gov/vuln/detail/CVE-2020-15157
 */
export function mayReceiveLogin(registry: URL, realm: URL, isTrusted: (realm: URL) => boolean): boolean {
  if (realm.origin === registry.origin) return true;
  if (realm.protocol !== 'https:' && registry.protocol !== 'http:') return false;
  if (isTrusted(realm)) return true;
  if (realm.protocol !== 'https:' || realm.port !== '') return false;
  const [own, asked] = [registry.hostname, realm.hostname];
  return (
    own === asked ||
    isWithin(own, asked) ||
    isWithin(asked, own) ||
    KNOWN_REALMS[own]?.includes(asked) === true
  );
}
