/**
 * The range of a `Range` header, before the size is known: `first-last`, `first-` or `-suffix`, in bytes, both ends
 * included, as on the wire.
 */
export type RangeRequest =
  | { readonly kind: 'from'; readonly first: number; readonly last: number | undefined }
  | { readonly kind: 'suffix'; readonly length: number };

/** The bytes from `start` up to but not including `end`. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/**
 * The single byte range of a `Range` header. Undefined: answer with everything. RFC 9110 allows servers to ignore
 * other units, several ranges and malformed values; clients of registries send one range or none.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-14.2
 */
export function parseRange(header: string): RangeRequest | undefined {
  // A list may have empty elements, and white space around its commas.
  const match = /^bytes=[\s,]*(\d*)-(\d*)[\s,]*$/i.exec(header.trim());
  if (!match) return undefined;
  const [, first = '', last = ''] = match;
  if (first === '') return last === '' ? undefined : { kind: 'suffix', length: position(last) };
  return { kind: 'from', first: position(first), last: last === '' ? undefined : position(last) };
}

/**
 * A position may have any number of digits. Beyond the end of every blob, its exact value does not matter
 * (CVE-2017-7529).
 */
function position(digits: string): number {
  return Math.min(Number(digits), Number.MAX_SAFE_INTEGER - 1);
}

/** The bytes that a request means in a blob of `sizeBytes`, clipped at its end. `unsatisfiable`: answer 416. */
export function resolveRange(request: RangeRequest, sizeBytes: number): ByteRange | 'unsatisfiable' {
  if (request.kind === 'suffix') {
    if (request.length === 0 || sizeBytes === 0) return 'unsatisfiable';
    return { start: Math.max(0, sizeBytes - request.length), end: sizeBytes };
  }
  const { first, last } = request;
  if (first >= sizeBytes || (last !== undefined && last < first)) return 'unsatisfiable';
  return { start: first, end: last === undefined ? sizeBytes : Math.min(last + 1, sizeBytes) };
}

/** Formats the value of a `Range` header. */
export function formatRange(range: RangeRequest): string {
  return range.kind === 'suffix' ? `bytes=-${range.length}` : `bytes=${range.first}-${range.last ?? ''}`;
}

/** A request for the bytes from `start` up to but not including `end`; without `end`, up to the last one. */
export function rangeFrom(start: number, end: number | undefined): RangeRequest {
  return { kind: 'from', first: start, last: end === undefined ? undefined : end - 1 };
}

/** True for a range that no blob has, such as `500-0` or `-0`. Registries disagree on it, so none is asked. */
export function isInNoBlob(range: RangeRequest): boolean {
  return resolveRange(range, Number.MAX_SAFE_INTEGER) === 'unsatisfiable';
}
