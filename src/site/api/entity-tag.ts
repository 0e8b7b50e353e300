import { createHash } from 'node:crypto';

/**
 * Computes the strong entity tag of a representation. `state` is the hidden part of the resource, such as a password's hash: a
 * change of it changes the tag.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-8.8.3
 */
export function entityTagOf(text: string, state = ''): string {
  const hash = createHash('sha256')
    .update(JSON.stringify([text, state]))
    .digest('base64url');
  return `"${hash.slice(0, 27)}"`;
}

function listed(header: string): readonly string[] {
  return header.split(',').map((tag) => tag.trim());
}

/** Does `If-None-Match` name the tag? Compares weakly. @see https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2 */
export function matchesWeakly(ifNoneMatch: string | undefined, entityTag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  return listed(ifNoneMatch).some((tag) => tag === '*' || tag.replace(/^W\//, '') === entityTag);
}

/** Does `If-Match` name the tag? Compares strongly. @see https://www.rfc-editor.org/rfc/rfc9110#section-13.1.1 */
export function matchesStrongly(ifMatch: string, entityTag: string): boolean {
  return listed(ifMatch).some((tag) => tag === '*' || tag === entityTag);
}
