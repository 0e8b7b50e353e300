/** How much of a JSON text is read: its size in bytes does not bound the memory and time that parsing takes. */
export interface JsonBounds {
  readonly depth: number;
  /** Names and values. */
  readonly values: number;
}

/** The shape of a JSON text, as far as bounds need it. */
export interface JsonShape {
  readonly depth: number;
  /** Commas, colons and opening brackets outside strings: the number of names and values, less one at most. */
  readonly values: number;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACE = 0x7d;
const CLOSE_BRACKET = 0x5d;
const COMMA = 0x2c;
const COLON = 0x3a;

/** The position of the quote that ends the string which begins at `from`; the length when there is none. */
function endOfString(bytes: Uint8Array, from: number): number {
  const quote = bytes.indexOf(QUOTE, from);
  if (quote < 0) return bytes.length;
  if (bytes[quote - 1] !== BACKSLASH) return quote;
  // The quote may be escaped: only reading from the start shows that.
  for (let at = from; at < bytes.length; at += 1) {
    if (bytes[at] === QUOTE) return at;
    if (bytes[at] === BACKSLASH) at += 1;
  }
  return bytes.length;
}

/** Measures a JSON text in one pass without parsing it. Stops at the first bound that is exceeded. */
export function shapeOf(bytes: Uint8Array, bounds: JsonBounds): JsonShape {
  let depth = 0;
  let deepest = 0;
  let values = 0;
  // A JSON text has at most one string more than the counted values: a text with more strings is not JSON.
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
    }
    if (values > bounds.values) break;
  }
  return { depth: deepest, values };
}

/** Twice what a document of a thousand parts has. */
export const USUAL_BOUNDS: JsonBounds = { depth: 64, values: 65_536 };

/**
 * Parses JSON from another party. @throws {SyntaxError} when it is not JSON, or exceeds the bounds: then it is not
 * parsed
 */
export function parseJson(bytes: Uint8Array, bounds: JsonBounds = USUAL_BOUNDS): unknown {
  const { depth, values } = shapeOf(bytes, bounds);
  if (depth > bounds.depth || values > bounds.values) throw new SyntaxError('the JSON text is too complex');
  return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8'));
}

/** An object of a parsed document, whose values may be anything. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Neither null nor a list. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value when it is an object; else an empty one. */
export function objectOf(value: unknown): JsonObject {
  return isJsonObject(value) ? value : {};
}
