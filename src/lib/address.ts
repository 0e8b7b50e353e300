import { BlockList, isIP } from 'node:net';

/** Does this name or address (no brackets) lead to this machine alone, so that nothing sent there crosses a network? */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host);
}

/**
 * Address blocks that are not public, as `ADDRESS/PREFIX`. Link-local holds the clouds' metadata services
 * (169.254.169.254); Alibaba's is 100.100.100.200 in the shared range, and Azure's WireServer has an address that looks public.
 * @see https://www.iana.org/assignments/iana-ipv4-special-registry
 * @see https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
 */
const NOT_PUBLIC_IPV4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '168.63.129.16/32',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
];
/**
 * The only IPv6 addresses that are given to hosts of the internet, and what within them leads elsewhere: protocols of the
 * IETF's (Teredo tunnels to an IPv4 address of the sender's choice), documentation, and 6to4 (tunnels as well).
 * @see https://www.iana.org/assignments/ipv6-address-space
 * @see https://www.iana.org/assignments/iana-ipv6-special-registry
 */
const GLOBAL_IPV6 = ['2000::/3'];
const NOT_PUBLIC_IPV6 = ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'];
/** Prefixes that embed an IPv4 address in their last 32 bits: judged by that address. A site's own NAT64 has another one. */
const EMBEDS_IPV4 = ['::ffff:0:0/96', '64:ff9b::/96'];

function blockListOf(subnets: readonly string[], family: 'ipv4' | 'ipv6'): BlockList {
  const list = new BlockList();
  for (const subnet of subnets) {
    const [address = '', prefix] = subnet.split('/');
    list.addSubnet(address, Number(prefix), family);
  }
  return list;
}

const blockedIpv4 = blockListOf(NOT_PUBLIC_IPV4, 'ipv4');
const globalIpv6 = blockListOf(GLOBAL_IPV6, 'ipv6');
const blockedIpv6 = blockListOf(NOT_PUBLIC_IPV6, 'ipv6');
const embedding = blockListOf(EMBEDS_IPV4, 'ipv6');

/** The last 32 bits of an IPv6 address, dotted. The WHATWG URL parser does the normalising: it knows every spelling. */
function embeddedIpv4(address: string): string {
  const groups = new URL(`http://[${address}]`).hostname.slice(1, -1).split(':');
  const [high, low] = groups.slice(-2).map((group) => Number.parseInt(group || '0', 16));
  return [(high ?? 0) >> 8, (high ?? 0) & 255, (low ?? 0) >> 8, (low ?? 0) & 255].join('.');
}

/** Is this IP address (no brackets, no zone) one that a public host can have? False for what is no address at all. */
export function isPublicAddress(address: string): boolean {
  const family = isIP(address);
  if (family === 4) return !blockedIpv4.check(address, 'ipv4');
  if (family !== 6 || address.includes('%')) return false;
  if (embedding.check(address, 'ipv6')) return !blockedIpv4.check(embeddedIpv4(address), 'ipv4');
  return globalIpv6.check(address, 'ipv6') && !blockedIpv6.check(address, 'ipv6');
}

/** The port that a URL leads to, said or implied. */
export function portOf(url: URL): number {
  return url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
}

/** The host of a URL as sockets take it: IPv6 without brackets. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '').toLowerCase();
}

/** `host:port` as it stands in a URL: IPv6 in brackets. */
export function authorityOf(host: string, port: number): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/**
 * A place on the web as somebody else wrote it. `target` is path and query byte for byte, as far as it can be sent: a signed
 * URL is only good as its issuer wrote it, and a parsed URL writes `'`, `|` and raw UTF-8 in another way.
 */
export interface WebLocation {
  readonly url: URL;
  readonly target: string;
}

/** Path and query of a URL of our own. */
export function targetOf(url: URL): string {
  return `${url.pathname}${url.search}`;
}

/** The whole URL, its target as it was written. */
export function formatLocation({ url, target }: WebLocation): string {
  return `${url.origin}${target}`;
}

/** Adds parameters behind whatever query there is, which stays as it is. */
export function withQuery(target: string, parameters: string): string {
  if (parameters === '') return target;
  const separator = !target.includes('?') ? '?' : /[?&]$/.test(target) ? '' : '&';
  return `${target}${separator}${parameters}`;
}

/** Without `.` and `..` segments. @see https://www.rfc-editor.org/rfc/rfc3986#section-5.2.4 */
function removeDotSegments(path: string): string {
  const kept: string[] = [];
  const segments = path.split('/').slice(1);
  for (const [at, segment] of segments.entries()) {
    const isLast = at === segments.length - 1;
    if (segment === '..') kept.pop();
    if (segment !== '.' && segment !== '..') kept.push(segment);
    else if (isLast) kept.push('');
  }
  return `/${kept.join('/')}`;
}

/**
 * What no request line may hold: white space, controls and bytes beyond ASCII, which servers refuse. A signature is over the
 * escaped form.
 */
function escapeUnsendable(target: string): string {
  return target.replaceAll(/[^\x21-\x7e]+/g, (text) => {
    // A header's text has a character for each byte.
    const isBytes = [...text].every((character) => character <= '\u00ff');
    const bytes = Buffer.from(text, isBytes ? 'latin1' : 'utf8');
    return [...bytes].map((byte) => `%${byte.toString(16).padStart(2, '0').toUpperCase()}`).join('');
  });
}

const REFERENCE =
  /^(?:(?<scheme>https?:)(?=\/\/))?(?<authority>\/\/[^/?\\]*)?(?<path>[^?]*)(?<query>\?.*)?$/is;

/** Path and query that `reference` names, unchanged; undefined where only a URL parser knows what is meant. */
function rawTarget(reference: string, base: string): string | undefined {
  const { authority, path = '', query = '' } = REFERENCE.exec(reference.replace(/#.*$/s, ''))?.groups ?? {};
  // `http:x` and back-slashes for slashes have no meaning but the one that the URL parser gives them.
  if (/^[a-z][a-z0-9+.-]*:/i.test(path) || path.startsWith('\\')) return undefined;
  const basePath = base.replace(/\?.*$/s, '');
  if (authority === undefined && path === '') {
    return query === '' ? base : `${basePath}${query}`;
  }
  const isAbsolute = authority !== undefined || path.startsWith('/');
  const whole = isAbsolute ? path : `${basePath.slice(0, basePath.lastIndexOf('/') + 1)}${path}`;
  return `${removeDotSegments(whole.startsWith('/') ? whole : `/${whole}`)}${query}`;
}

/**
 * Where `reference`, as a `Location` or `Link` header gives it, leads from `base`; undefined when it is no URL.
 * @see https://www.rfc-editor.org/rfc/rfc3986#section-5.2
 */
export function resolveReference(reference: string, base: WebLocation): WebLocation | undefined {
  const trimmed = reference.trim();
  if (!URL.canParse(trimmed, base.url.href)) return undefined;
  const url = new URL(trimmed, base.url);
  return { url, target: escapeUnsendable(rawTarget(trimmed, base.target) ?? targetOf(url)) };
}
