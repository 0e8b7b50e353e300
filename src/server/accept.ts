import { essenceOf, isIndexType } from '../oci/media-type.ts';

/** Clients send few different Accept values, one per version; more than this many at once is an abuse. */
const MEMO_MAX = 256;

function coversIndex(range: string): boolean {
  const essence = essenceOf(range);
  const covers = essence === '*/*' || essence === 'application/*' || isIndexType(essence);
  return covers && !/;\s*q=0(?:\.0*)?\s*(?:;|$)/i.test(range);
}

/**
 * Tells from an Accept header whether the client can take an image index: it names an index type or a wildcard, or
 * there is no header. Remembers its answers, since every pull of a client sends the same header.
 */
export function createAcceptReader(): (accept: string | undefined) => boolean {
  const memo = new Map<string, boolean>();
  return (accept) => {
    if (accept === undefined || accept === '' || accept === '*/*') return true;
    const known = memo.get(accept);
    if (known !== undefined) return known;
    const answer = accept.split(',').some(coversIndex);
    if (memo.size >= MEMO_MAX) memo.clear();
    memo.set(accept, answer);
    return answer;
  };
}
