import type { IncomingHttpHeaders } from 'node:http';
import { BlockList, isIP, isIPv6 } from 'node:net';
import { isLoopback } from '../lib/address.ts';

/** The client's address: that of its connection, or the one that a trusted proxy reports. */
export type ClientAddress = (remoteAddress: string, headers: IncomingHttpHeaders) => string;

const withoutMapping = (address: string) => address.replace(/^::ffff:(?=\d+\.)/i, '');

function listOf(proxies: readonly string[]): BlockList {
  const list = new BlockList();
  for (const proxy of proxies) {
    const [address = '', prefix] = proxy.split('/');
    const family = isIPv6(address) ? 'ipv6' : 'ipv4';
    const bits = Number(prefix ?? 0);
    if (isIP(address) === 0 || !(bits >= 0 && bits <= (family === 'ipv6' ? 128 : 32)))
      throw new Error(`“${proxy}” is no address of a proxy: write 10.0.0.7 or 10.0.0.0/24`);
    if (prefix === undefined) list.addAddress(address, family);
    else list.addSubnet(address, bits, family);
  }
  return list;
}

/**
 * Takes the last address of `X-Forwarded-For` that no trusted proxy wrote. Without a trusted proxy the header says
 * nothing: every local user could invent addresses, and with them escape the limit on failed logins.
 * @param onIgnored is called once, for the first header that comes from this machine and is not trusted: a proxy beside the
 * mirror, most likely, that the operator has to declare
 * @throws {Error} when one of `proxies` is neither an address nor a subnet.
 */
export function clientAddressBehind(
  proxies: readonly string[],
  onIgnored: (proxy: string) => void = () => {},
): ClientAddress {
  const trusted = listOf(proxies);
  const isProxy = (address: string) => trusted.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
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
    while (isIP(address) !== 0 && isProxy(address)) {
      const before = withoutMapping(chain.pop()?.trim() ?? '');
      if (isIP(before) === 0) break;
      address = before;
    }
    return address;
  };
}

/** Where clients reach this site, `https://hub.example.org`; undefined when the request does not say. */
export type SiteUrl = (headers: IncomingHttpHeaders) => string | undefined;

const HOST = /^[A-Za-z0-9.-]+(?::\d{1,5})?$|^\[[0-9A-Fa-f:.]+\](?::\d{1,5})?$/;

/**
 * The site's own name as the client wrote it: the Host header, with the scheme that a proxy in front reports. A client
 * can forge both, and misleads only itself.
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
