import type { Digest } from '../oci/digest.ts';

/** Content is its digest, so the digest is its entity tag. */
export function etagOf(digest: Digest): string {
  return `"${digest}"`;
}

/**
 * Does this `If-None-Match` name the content with `digest`, so that 304 says it all? Compared weakly, as the RFC has it;
 * a bare digest without quotes counts, because registry clients send that too.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2
 */
export function isKnownToClient(ifNoneMatch: string | undefined, digest: Digest): boolean {
  if (ifNoneMatch === undefined) return false;
  return ifNoneMatch.split(',').some((written) => {
    const tag = written.trim().replace(/^W\//, '');
    return tag === '*' || tag === digest || tag === etagOf(digest);
  });
}

/** Does a Range count? With an `If-Range` only when that names this very content: its entity tag, never a date. */
export function rangeCounts(ifRange: string | undefined, digest: Digest): boolean {
  return ifRange === undefined || ifRange.trim() === etagOf(digest);
}
