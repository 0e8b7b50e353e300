import type { IncomingHttpHeaders } from 'node:http';

/** What a request shows of itself. */
export type PresentedCredentials =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'basic'; readonly login: string; readonly password: string }
  | { readonly kind: 'bearer'; readonly token: string }
  /** Another scheme, or none of the grammar. */
  | { readonly kind: 'malformed' };

const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

function readBasic(encoded: string): PresentedCredentials {
  const text = BASE64.test(encoded) ? Buffer.from(encoded, 'base64').toString('utf8') : '';
  const colon = text.indexOf(':');
  if (colon < 1) return { kind: 'malformed' };
  return { kind: 'basic', login: text.slice(0, colon), password: text.slice(colon + 1) };
}

/** Reads an `Authorization` header. @see https://www.rfc-editor.org/rfc/rfc7617#section-2 and rfc6750#section-2.1 */
export function readAuthorization(header: string | undefined): PresentedCredentials {
  if (header === undefined || header.trim() === '') return { kind: 'nothing' };
  const match = /^([A-Za-z]+) +([^\s]+)\s*$/.exec(header);
  const [, scheme = '', value = ''] = match ?? [];
  if (scheme.toLowerCase() === 'basic') return readBasic(value);
  if (scheme.toLowerCase() === 'bearer') return { kind: 'bearer', token: value };
  return { kind: 'malformed' };
}

/** Where clients reach this site, `https://hub.example.org`; undefined when the request does not tell. */
export type SiteUrl = (headers: IncomingHttpHeaders) => string | undefined;

const HOST = /^[A-Za-z0-9.-]+(?::\d{1,5})?$|^\[[0-9A-Fa-f:.]+\](?::\d{1,5})?$/;

/**
 * The site's own name as the client wrote it: the Host header, and the scheme that a proxy in front says. Both are the
 * client's own words, and only the client is sent where they lead.
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
