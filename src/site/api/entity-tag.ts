import { createHash } from 'node:crypto';

/**
 * Computes the strong entity tag of a representation. `state` is the part of the resource that no answer
 * shows, such as a password's hash: a change of it changes the tag.
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

/**
 * True when `If-None-Match` names the tag; compares weakly.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2
 */
export function matchesWeakly(ifNoneMatch: string | undefined, entityTag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  return listed(ifNoneMatch).some((tag) => tag === '*' || tag.replace(/^W\//, '') === entityTag);
}

/**
 * True when `If-Match` names the tag; compares strongly.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-13.1.1
 */
export function matchesStrongly(ifMatch: string, entityTag: string): boolean {
  return listed(ifMatch).some((tag) => tag === '*' || tag === entityTag);
}
