/** The credentials that a request presents. */
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
