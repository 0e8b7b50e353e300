import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import { addressMatcher, isLoopback, withoutMapping } from '../lib/address.ts';

/** Returns the address of the client: that of its connection, or the one that a trusted proxy reports. */
export type ClientAddress = (remoteAddress: string, headers: IncomingHttpHeaders) => string;

/**
 * Takes the last address of `X-Forwarded-For` that is not a trusted proxy's. Without a trusted proxy the
 * header is ignored: any local user could forge an address and so escape the limit on failed logins.
 * @param onIgnored is called once, for the first ignored header from this machine: its sender is most likely
 * a proxy that the operator has to declare.
 * @throws {Error} when one of `proxies` is neither an address nor a subnet.
 */
export function clientAddressBehind(
  proxies: readonly string[],
  onIgnored: (proxy: string) => void = () => {},
): ClientAddress {
  const isProxy = addressMatcher(proxies);
  let hasWarned = false;
  return (remoteAddress, headers) => {
    const written = headers['x-forwarded-for'];
    let address = withoutMapping(remoteAddress);
    if (written === undefined) return address;
    if (!hasWarned && isLoopback(address) && !isProxy(address)) {
      hasWarned = true;
      onIgnored(address);
    }
    const chain = (Array.isArray(written) ? written.join(',') : written).split(',');
    while (isProxy(address)) {
      const before = withoutMapping(chain.pop()?.trim() ?? '');
      if (isIP(before) === 0) break;
      address = before;
    }
    return address;
  };
}

/** Returns the URL of this site, `https://hub.example.org`; undefined when the request does not tell it. */
export type SiteUrl = (headers: IncomingHttpHeaders) => string | undefined;

const HOST = /^[A-Za-z0-9.-]+(?::\d{1,5})?$|^\[[0-9A-Fa-f:.]+\](?::\d{1,5})?$/;

/**
 * Builds the site's URL from the Host header and the scheme that a proxy reports. A client that forges them
 * misleads only itself.
 */
export function siteUrlFrom(options: { readonly url?: string | undefined; readonly tls: boolean }): SiteUrl {
  const fixed = options.url?.replace(/\/+$/, '');
  if (fixed !== undefined) return () => fixed;
  return (headers) => {
    if (headers.host === undefined || !HOST.test(headers.host)) return undefined;
    const forwarded = headers['x-forwarded-proto'];
    const scheme = options.tls || forwarded === 'https' ? 'https' : 'http';
    return `${scheme}://${headers.host}`;
  };
}
