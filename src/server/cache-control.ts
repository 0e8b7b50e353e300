import type { HeaderList } from '../lib/http.ts';

/** A digest names its bytes: a copy never goes out of date. @see https://www.rfc-editor.org/rfc/rfc8246 */
const IMMUTABLE: HeaderList = ['Cache-Control', 'public, max-age=31536000, immutable'];
/** A tag or a list may change at any time: a cache must ask again before it uses its copy. */
const REVALIDATE: HeaderList = ['Cache-Control', 'no-cache'];
/** A cache between a login and this mirror would give one login's answer to another, or to a wrong password. */
const PRIVATE: HeaderList = ['Cache-Control', 'private, no-store', 'Vary', 'Authorization'];
/** An error holds for its moment only. Caches would keep a 404 or 405 that says nothing. */
export const NO_STORE: HeaderList = ['Cache-Control', 'no-store'];

/**
 * What a cache between client and mirror may do with an answer.
 * @see https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2
 */
export function cacheControl(isPrivate: boolean, isByDigest: boolean): HeaderList {
  if (isPrivate) return PRIVATE;
  return isByDigest ? IMMUTABLE : REVALIDATE;
}
