import type { LookupAddress } from 'node:dns';
import { isIP } from 'node:net';
import { LRUCache } from 'lru-cache';
import { isPublicAddress } from '../../lib/address.ts';
import { entriesAtMost } from '../../lib/lru.ts';
import type { Resolver } from './resolver.ts';

/** A host name or address that no public registry has. */
export class AddressRefusedError extends Error {
  override readonly name = 'AddressRefusedError';
}

export function refused(host: string): AddressRefusedError {
  return new AddressRefusedError(
    `${host} has no public address; if that is intended, name it as an endpoint or a trusted host of this upstream`,
  );
}

/**
 * Refuses a private IP address that is written in a URL.
 * @throws {AddressRefusedError}
 */
export function refusePrivateLiteral(host: string): void {
  if (isIP(host) !== 0 && !isPublicAddress(host)) throw refused(host);
}

/** Checks a host name that only a proxy will look up. Rejects with an {@link AddressRefusedError}. */
export type NameGuard = (host: string) => Promise<void>;

/** Names that no public host has. @see https://www.iana.org/assignments/special-use-domain-names */
const PRIVATE_NAME =
  /^[^.]+$|\.(?:localhost|local|internal|home\.arpa|lan|home|corp|intranet|private|invalid)$/;
const GUARD_LOOKUP_MS = 1000;
const GUARD_HOSTS_MAX = 500;
const GUARD_MAX_AGE_MS = 60_000;

/** The addresses of a lookup; none when it fails or takes longer. */
function withinMs(
  limitMs: number,
  lookup: Promise<readonly LookupAddress[]>,
): Promise<readonly LookupAddress[]> {
  return new Promise((settle) => {
    const timer = setTimeout(settle, limitMs, []).unref();
    lookup.then(settle, () => settle([])).finally(() => clearTimeout(timer));
  });
}

/**
 * Behind a proxy, the proxy looks up the names, and often only it can. So a name is refused when it resolves
 * here to private addresses, or when it is private by its form. The proxy decides about any other name that is
 * unknown here.
 */
export function createNameGuard(resolve: Resolver): NameGuard {
  const unjudged = new LRUCache<string, true>({ ...entriesAtMost(GUARD_HOSTS_MAX), ttl: GUARD_MAX_AGE_MS });
  return async (host) => {
    refusePrivateLiteral(host);
    if (isIP(host) !== 0 || unjudged.has(host)) return;
    if (PRIVATE_NAME.test(host.replace(/\.$/, ''))) throw refused(host);
    const addresses = await withinMs(GUARD_LOOKUP_MS, resolve(host));
    if (addresses.length === 0) unjudged.set(host, true);
    else if (!addresses.some(({ address }) => isPublicAddress(address))) throw refused(host);
  };
}
