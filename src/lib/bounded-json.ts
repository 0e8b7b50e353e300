/** Limits of a JSON text: its size in bytes does not limit the memory and time that parsing takes. */
export interface JsonBounds {
  readonly depth: number;
  /** The number of names and values. */
  readonly values: number;
}

/** The depth and size of a JSON text, as far as they are measured. */
export interface JsonShape {
  readonly depth: number;
  /**
   * The number of commas, colons and opening brackets outside strings: at least the number of names and values,
   * less one.
   */
  readonly values: number;
  /** True when a number has more than 15 characters or an exponent: JavaScript may not represent it. */
  readonly hasLongNumber: boolean;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACE = 0x7d;
const CLOSE_BRACKET = 0x5d;
const COMMA = 0x2c;
const COLON = 0x3a;
const ZERO = 0x30;
const NINE = 0x39;
const POINT = 0x2e;
const EXPONENT = 0x65;

/** The position of the quote that ends the string which begins at `from`; the length when there is none. */
function endOfString(bytes: Uint8Array, from: number): number {
  const quote = bytes.indexOf(QUOTE, from);
  if (quote < 0) return bytes.length;
  if (bytes[quote - 1] !== BACKSLASH) return quote;
  // The quote may be escaped. Only reading from the start of the string shows that.
  for (let at = from; at < bytes.length; at += 1) {
    if (bytes[at] === QUOTE) return at;
    if (bytes[at] === BACKSLASH) at += 1;
  }
  return bytes.length;
}

/** The position after the digits and decimal points from `at` on. */
function endOfDigits(bytes: Uint8Array, at: number): number {
  let end = at;
  for (let byte = bytes[end]; byte !== undefined && byte <= NINE; byte = bytes[end]) {
    if (byte < ZERO && byte !== POINT) break;
    end += 1;
  }
  return end;
}

/** Measures a JSON text in one pass, without parsing it. Stops at the first limit that is exceeded. */
export function shapeOf(bytes: Uint8Array, bounds: JsonBounds): JsonShape {
  let depth = 0;
  let deepest = 0;
  let values = 0;
  let hasLongNumber = false;
  // Valid JSON has at most one string more than the counted values.
  let strings = 0;
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at] as number;
    if (byte === QUOTE) {
      strings += 1;
      if (strings > values + 1) break;
      at = endOfString(bytes, at + 1);
    } else if (byte === COMMA || byte === COLON) {
      values += 1;
    } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      values += 1;
      depth += 1;
      if (depth > deepest) deepest = depth;
      if (deepest > bounds.depth) break;
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      depth -= 1;
    } else if (byte >= ZERO && byte <= NINE) {
      const end = endOfDigits(bytes, at);
      if (end - at > 15 || ((bytes[end] ?? 0) | 0x20) === EXPONENT) hasLongNumber = true;
      at = end - 1;
    }
    if (values > bounds.values) break;
  }
  return { depth: deepest, values, hasLongNumber };
}

/** Twice what a document with a thousand parts has. */
export const USUAL_BOUNDS: JsonBounds = { depth: 64, values: 65_536 };

/**
 * Parses JSON from another party.
 * @throws {SyntaxError} when it is not JSON, or when it exceeds the limits; then it was not parsed
 */
export function parseJson(bytes: Uint8Array, bounds: JsonBounds = USUAL_BOUNDS): unknown {
  const { depth, values } = shapeOf(bytes, bounds);
  if (depth > bounds.depth || values > bounds.values) throw new SyntaxError('the JSON text is too complex');
  return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8'));
}

/** An object in a parsed document. Its values may be anything. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** True for an object that is neither null nor an array. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value if it is an object, otherwise an empty object. */
export function objectOf(value: unknown): JsonObject {
  return isJsonObject(value) ? value : {};
}
