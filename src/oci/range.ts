/**
 * The range in a client's `Range` header, before the size is known: `first-last`, `first-` or `-suffix`, in bytes, both
 * ends included as on the wire.
 */
export type RangeRequest =
  | { readonly kind: 'from'; readonly first: number; readonly last: number | undefined }
  | { readonly kind: 'suffix'; readonly length: number };

/** Bytes `start` to `end`, `end` excluded. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/**
 * The single byte range of a `Range` header value. Undefined means "answer with the whole": RFC 9110 lets a server
 * ignore other units, several ranges and a malformed value; registries' clients send one range or none.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-14.2
 */
export function parseRange(header: string): RangeRequest | undefined {
  // A list may have empty elements and white space around its commas.
  const match = /^bytes=[\s,]*(\d*)-(\d*)[\s,]*$/i.exec(header.trim());
  if (!match) return undefined;
  const [, first = '', last = ''] = match;
  if (first === '') return last === '' ? undefined : { kind: 'suffix', length: position(last) };
  return { kind: 'from', first: position(first), last: last === '' ? undefined : position(last) };
}

/** A position may have any number of digits; beyond every blob its exact value does not matter (CVE-2017-7529). */
function position(digits: string): number {
  return Math.min(Number(digits), Number.MAX_SAFE_INTEGER - 1);
}

/** The bytes a request denotes within `sizeBytes`, clipped at the end; `unsatisfiable` means 416. */
export function resolveRange(request: RangeRequest, sizeBytes: number): ByteRange | 'unsatisfiable' {
  if (request.kind === 'suffix') {
    if (request.length === 0 || sizeBytes === 0) return 'unsatisfiable';
    return { start: Math.max(0, sizeBytes - request.length), end: sizeBytes };
  }
  const { first, last } = request;
  if (first >= sizeBytes || (last !== undefined && last < first)) return 'unsatisfiable';
  return { start: first, end: last === undefined ? sizeBytes : Math.min(last + 1, sizeBytes) };
}

/** The value of a `Range` header. */
export function formatRange(range: RangeRequest): string {
  return range.kind === 'suffix' ? `bytes=-${range.length}` : `bytes=${range.first}-${range.last ?? ''}`;
}

/** A request for the bytes `start` to `end`, `end` excluded; undefined: to the last one. */
export function rangeFrom(start: number, end: number | undefined): RangeRequest {
  return { kind: 'from', first: start, last: end === undefined ? undefined : end - 1 };
}

/** True for a range that no blob can have, such as `500-0` and `-0`: registries disagree on it, so none is asked. */
export function isInNoBlob(range: RangeRequest): boolean {
  return resolveRange(range, Number.MAX_SAFE_INTEGER) === 'unsatisfiable';
}
