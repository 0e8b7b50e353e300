/** The head of a response whose body is exactly `bodyBytes` long. Header names in lower case. */
export interface PlainHead {
  readonly status: number;
  /** Values of one name in order of appearance. */
  readonly headers: Readonly<Record<string, readonly string[]>>;
  readonly bodyBytes: number;
  /** May the connection be used for another request? */
  readonly isKept: boolean;
}

const STATUS_LINE = /^HTTP\/1\.1 ([2-5]\d\d)(?: [\t\x20-\x7e]*)?$/;
/** The white space around a value is part of it here: told apart by backtracking, a long run of it would take seconds. */
const HEADER_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e]*)$/;
const LINES_MAX = 200;
/** Headers by which the framing of a message is anything but `Content-Length`. */
const OTHER_FRAMING = ['transfer-encoding', 'upgrade', 'trailer'];

/**
 * Reads a response head (without its empty line) of the one form that every registry and blob store sends; undefined for
 * whatever is unusual: another version, an interim or bodiless status, folded, repeated or missing lengths, chunks, bytes
 * beyond ASCII. It decides how many bytes belong to a message, so it guesses nothing: the unusual is another reader's job.
 * @see https://www.rfc-editor.org/rfc/rfc9112#section-6.3
 */
export function parsePlainHead(text: string): PlainHead | undefined {
  const [statusLine = '', ...lines] = text.split('\r\n');
  const status = Number(STATUS_LINE.exec(statusLine)?.[1]);
  if (Number.isNaN(status) || status === 204 || status === 304 || lines.length > LINES_MAX) return undefined;
  const headers: Record<string, string[]> = Object.create(null);
  for (const line of lines) {
    const [, name, value = ''] = HEADER_LINE.exec(line) ?? [];
    if (name === undefined) return undefined;
    const key = name.toLowerCase();
    headers[key] = [...(headers[key] ?? []), value.trim()];
  }
  if (OTHER_FRAMING.some((name) => name in headers)) return undefined;
  const [length, ...otherLengths] = headers['content-length'] ?? [];
  if (length === undefined || otherLengths.length > 0 || !/^\d{1,15}$/.test(length)) return undefined;
  const isKept = !(headers['connection'] ?? []).some((value) => /\bclose\b/i.test(value));
  return { status, headers, bodyBytes: Number(length), isKept };
}
