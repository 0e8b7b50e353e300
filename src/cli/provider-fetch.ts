import type { ProviderFetch } from '../site/oidc/provider.ts';
import { readBody } from '../upstream/http/reply.ts';
import { type Transport, USER_AGENT } from '../upstream/http/transport.ts';

const ANSWER_MAX_BYTES = 512 * 1024;
/** The default of openid-client. */
const TIMEOUT_MS = 30_000;

/**
 * `fetch` over the connection to a registry, with its proxies, certificates and authorities. Follows no
 * redirect.
 */
export function fetchOver(transport: Transport): ProviderFetch {
  return async (url, { method = 'GET', headers, body }) => {
    const text = body instanceof URLSearchParams ? body.toString() : body;
    if (typeof text !== 'string' && text != null) throw new TypeError('only a text can be sent');
    const sent = Object.fromEntries(new Headers(headers));
    const reply = await transport.send({
      method: method === 'POST' ? 'POST' : 'GET',
      url: new URL(url),
      headers: {
        ...sent,
        'user-agent': USER_AGENT,
        ...(text == null ? {} : { 'content-length': String(Buffer.byteLength(text)) }),
      },
      ...(text == null ? {} : { body: text }),
      headMs: TIMEOUT_MS,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const bytes = await readBody(reply, ANSWER_MAX_BYTES, TIMEOUT_MS);
    const isEmpty = reply.status === 204 || reply.status === 304;
    return new Response(isEmpty ? null : new Uint8Array(bytes), {
      status: reply.status,
      headers: reply.headers,
    });
  };
}
