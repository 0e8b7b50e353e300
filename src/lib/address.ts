import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net';

/**
 * IPv4 address blocks that are not public, as `ADDRESS/PREFIX`. Link-local contains the clouds' metadata services
 * (169.254.169.254). Alibaba's is 100.100.100.200, in the shared range; Azure's WireServer (168.63.129.16) has an
 * address that looks public.
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
 * The global unicast IPv6 addresses, and the blocks in them that are not public: IETF protocols (Teredo tunnels to
 * an IPv4 address of the sender's choice), 6to4 (also a tunnel) and documentation.
 * @see https://www.iana.org/assignments/ipv6-address-space
 * @see https://www.iana.org/assignments/iana-ipv6-special-registry
 */
const GLOBAL_IPV6 = ['2000::/3'];
const NOT_PUBLIC_IPV6 = ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'];
/**
 * Prefixes that embed an IPv4 address in the last 32 bits; that address decides. A site's own NAT64 prefix is not
 * known.
 */
const EMBEDS_IPV4 = ['::ffff:0:0/96', '64:ff9b::/96'];

interface Subnet {
  readonly address: string;
  readonly bits: number;
  readonly family: 'ipv4' | 'ipv6';
}

const familyOf = (address: string) => (isIPv6(address) ? 'ipv6' : 'ipv4');

/** Parses `10.0.0.0/24`. An address without a prefix is a subnet of one address. */
function parseSubnet(text: string): Subnet | undefined {
  const [address = '', prefix, ...rest] = text.split('/');
  const family = familyOf(address);
  const most = family === 'ipv6' ? 128 : 32;
  if (isIP(address) === 0 || rest.length > 0 || !/^\d{1,3}$/.test(prefix ?? '0')) return undefined;
  const bits = Number(prefix ?? most);
  return bits <= most ? { address, bits, family } : undefined;
}

/** @param onMalformed throws for a text that is not a subnet */
function blockListOf(
  subnets: readonly string[],
  onMalformed: (subnet: string) => never = (subnet) => {
    throw new TypeError(`${subnet} is not a subnet`);
  },
): BlockList {
  const list = new BlockList();
  for (const text of subnets) {
    const { address, bits, family } = parseSubnet(text) ?? onMalformed(text);
    list.addSubnet(address, bits, family);
  }
  return list;
}

/** Also in the form that a dual-stack socket and a URL give an IPv4 address. */
const LOOPBACK_IPV6 = ['::1/128', '::ffff:127.0.0.0/104'];
let loopbackIpv6: BlockList | undefined;

/**
 * True for an address or the name of this machine's loopback, so that no traffic leaves the machine. Accepts the
 * host of a URL too, in which an IPv6 address has brackets.
 */
export function isLoopback(host: string): boolean {
  if (isIPv4(host)) return host.startsWith('127.');
  const name = host.replace(/^\[(.*)\]$/, '$1');
  if (!isIPv6(name)) return host.toLowerCase() === 'localhost';
  if (name.includes('%')) return false;
  loopbackIpv6 ??= blockListOf(LOOPBACK_IPV6);
  return loopbackIpv6.check(name, 'ipv6');
}

/** True when the address is in this subnet. False for another address family, and for a text that is not a subnet. */
export function isInSubnet(text: string, address: string): boolean {
  const subnet = parseSubnet(text);
  if (subnet === undefined || isIP(address) === 0 || familyOf(address) !== subnet.family) return false;
  return blockListOf([text]).check(address, subnet.family);
}

function blockLists() {
  return {
    blockedIpv4: blockListOf(NOT_PUBLIC_IPV4),
    globalIpv6: blockListOf(GLOBAL_IPV6),
    blockedIpv6: blockListOf(NOT_PUBLIC_IPV6),
    embedding: blockListOf(EMBEDS_IPV4),
  };
}

/** Created for the first address, because the start of a program needs none. */
let lists: ReturnType<typeof blockLists> | undefined;

/** The last 32 bits of an IPv6 address, in dotted form. The WHATWG URL parser normalizes every spelling. */
function embeddedIpv4(address: string): string {
  const groups = new URL(`http://[${address}]`).hostname.slice(1, -1).split(':');
  const [high, low] = groups.slice(-2).map((group) => Number.parseInt(group || '0', 16));
  return [(high ?? 0) >> 8, (high ?? 0) & 255, (low ?? 0) >> 8, (low ?? 0) & 255].join('.');
}

/** True when a public host can have this IP address (no brackets, no zone). False for a text that is not an address. */
export function isPublicAddress(address: string): boolean {
  lists ??= blockLists();
  const { blockedIpv4, globalIpv6, blockedIpv6, embedding } = lists;
  const family = isIP(address);
  if (family === 4) return !blockedIpv4.check(address, 'ipv4');
  if (family !== 6 || address.includes('%')) return false;
  if (embedding.check(address, 'ipv6')) return !blockedIpv4.check(embeddedIpv4(address), 'ipv4');
  return globalIpv6.check(address, 'ipv6') && !blockedIpv6.check(address, 'ipv6');
}

/** Removes the IPv6 prefix that a dual-stack socket adds to an IPv4 address. */
export const withoutMapping = (address: string): string =>
  address.startsWith('::') ? address.replace(/^::ffff:(?=\d+\.)/i, '') : address;

/**
 * Returns a function that is true for addresses in the list (`10.0.0.7`, `10.0.0.0/24`).
 * @throws {Error} when an item is neither an address nor a subnet.
 */
export function addressMatcher(proxies: readonly string[]): (address: string) => boolean {
  // Called for each connection: without this, even an empty list would cost an address object each time.
  if (proxies.length === 0) return () => false;
  const list = blockListOf(proxies, (proxy) => {
    throw new Error(`“${proxy}” is not the address of a proxy: write 10.0.0.7 or 10.0.0.0/24`);
  });
  return (address) => isIP(address) !== 0 && list.check(address, familyOf(address));
}

/** The eight groups of an IPv6 address; undefined for any other text. */
function ipv6Groups(address: string): readonly string[] | undefined {
  const [plain = ''] = address.split('%');
  if (!isIPv6(plain)) return undefined;
  const [head = '', tail] = plain.toLowerCase().split('::');
  const groups = head === '' ? [] : head.split(':');
  if (tail !== undefined) {
    const after = tail === '' ? [] : tail.split(':');
    while (groups.length + after.length < 8) groups.push('0');
    groups.push(...after);
  }
  return groups.map((group) => Number.parseInt(group, 16).toString(16));
}

/**
 * The network that counts as one client: an IPv4 address, or the /64 of an IPv6 address (a subscriber has at least
 * that).
 */
export function addressClass(address: string): string {
  const plain = withoutMapping(address);
  const groups = plain.includes(':') ? ipv6Groups(plain) : undefined;
  return groups === undefined ? plain : `${groups.slice(0, 4).join(':')}::/64`;
}

/** The network that one party may have all addresses of: the /24 of an IPv4 address, the /48 of an IPv6 address. */
export function networkClass(address: string): string {
  const plain = withoutMapping(address);
  if (isIPv4(plain)) return `${plain.slice(0, plain.lastIndexOf('.'))}.0/24`;
  const groups = ipv6Groups(plain);
  return groups === undefined ? plain : `${groups.slice(0, 3).join(':')}::/48`;
}
