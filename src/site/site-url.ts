import type { IncomingHttpHeaders } from 'node:http';

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
