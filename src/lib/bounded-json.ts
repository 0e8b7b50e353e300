/** How much of a JSON text is read: its size in bytes does not bound the memory and time that its parser takes. */
export interface JsonBounds {
  readonly depth: number;
  /** Names and values. */
  readonly values: number;
}

/** How a JSON text is built, as far as bounds are concerned. */
export interface JsonShape {
  readonly depth: number;
  /** Commas, colons and opening brackets outside strings: at least the number of its names and values, but for one. */
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
  // The quote may be escaped: only reading from the start tells.
  for (let at = from; at < bytes.length; at += 1) {
    if (bytes[at] === QUOTE) return at;
    if (bytes[at] === BACKSLASH) at += 1;
  }
  return bytes.length;
}

/** Measures a JSON text without parsing it, in one pass. Stops at the first bound that is passed. */
export function shapeOf(bytes: Uint8Array, bounds: JsonBounds): JsonShape {
  let depth = 0;
  let deepest = 0;
  let values = 0;
  // A JSON text has at most one string more than what is counted: a text with more of them is no JSON.
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

/** What a document of a thousand parts has is half of it. */
export const USUAL_BOUNDS: JsonBounds = { depth: 64, values: 65_536 };

/** Parses a text from elsewhere. @throws {SyntaxError} when it is no JSON, or passes the bounds: then it is not parsed. */
export function parseJson(bytes: Uint8Array, bounds: JsonBounds = USUAL_BOUNDS): unknown {
  const { depth, values } = shapeOf(bytes, bounds);
  if (depth > bounds.depth || values > bounds.values) throw new SyntaxError('the JSON text is too complex');
  return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8'));
}
