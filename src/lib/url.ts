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
