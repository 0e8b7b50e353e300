/** The port of a URL, explicit or implied by its scheme. */
export function portOf(url: URL): number {
  return url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
}

/** True when a URL names a user or a password. */
export function containsLogin({ username, password }: URL): boolean {
  return username !== '' || password !== '';
}

/** The host of a URL in the form that sockets take: IPv6 without brackets. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '').toLowerCase();
}

/** `host:port` in the form of a URL: IPv6 in brackets. */
export function authorityOf(host: string, port: number): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/**
 * A URL as another party wrote it. `target` is its path and query, byte for byte where HTTP allows it: a signed URL
 * is valid only as its issuer wrote it, and a URL parser rewrites `'`, `|` and raw UTF-8.
 */
export interface WebLocation {
  readonly url: URL;
  readonly target: string;
}

/** The path and query of a URL that this program built. */
export function targetOf(url: URL): string {
  return `${url.pathname}${url.search}`;
}

/** The path of a request target. */
export function pathIn(target: string): string {
  const mark = target.indexOf('?');
  return mark < 0 ? target : target.slice(0, mark);
}

/**
 * The query of a request target, without its question mark: everything after the first one.
 * @see https://www.rfc-editor.org/rfc/rfc3986#section-3.4
 */
export function queryIn(target: string): string {
  const mark = target.indexOf('?');
  return mark < 0 ? '' : target.slice(mark + 1);
}

/** The whole URL, with path and query as written. */
export function formatLocation({ url, target }: WebLocation): string {
  return `${url.origin}${target}`;
}

/** Appends parameters to the query, which is not changed. */
export function withQuery(target: string, parameters: string): string {
  if (parameters === '') return target;
  const separator = !target.includes('?') ? '?' : /[?&]$/.test(target) ? '' : '&';
  return `${target}${separator}${parameters}`;
}

/** Removes the segments `.` and `..`. @see https://www.rfc-editor.org/rfc/rfc3986#section-5.2.4 */
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
 * Escapes characters that servers refuse in a request line: white space, controls and non-ASCII bytes. In a signed
 * URL the signature covers the escaped form.
 */
function escapeUnsendable(target: string): string {
  return target.replaceAll(/[^\x21-\x7e]+/g, (text) => {
    // A header's text has one character for each byte.
    const isBytes = [...text].every((character) => character <= '\u00ff');
    const bytes = Buffer.from(text, isBytes ? 'latin1' : 'utf8');
    return [...bytes].map((byte) => `%${byte.toString(16).padStart(2, '0').toUpperCase()}`).join('');
  });
}

const REFERENCE =
  /^(?:(?<scheme>https?:)(?=\/\/))?(?<authority>\/\/[^/?\\]*)?(?<path>[^?]*)(?<query>\?.*)?$/is;

/** The path and query that `reference` names, unchanged. Undefined when a URL parser must find them. */
function rawTarget(reference: string, base: string): string | undefined {
  const { authority, path = '', query = '' } = REFERENCE.exec(reference.replace(/#.*$/s, ''))?.groups ?? {};
  // Only a URL parser can interpret `http:x` and backslashes.
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
 * Resolves `reference`, from a `Location` or `Link` header, against `base`. Undefined when the result is not a URL.
 * @see https://www.rfc-editor.org/rfc/rfc3986#section-5.2
 */
export function resolveReference(reference: string, base: WebLocation): WebLocation | undefined {
  const trimmed = reference.trim();
  if (!URL.canParse(trimmed, base.url.href)) return undefined;
  const url = new URL(trimmed, base.url);
  return { url, target: escapeUnsendable(rawTarget(trimmed, base.target) ?? targetOf(url)) };
}
