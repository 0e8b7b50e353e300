import { RegistryError } from './registry-error.ts';

/** Deeper than any document of the specs nests: recursive code downstream must not run out of stack. */
const DEPTH_MAX = 64;
/**
 * Names and values of a document: reading them takes memory and time that its size in bytes does not bound. An index of a
 * thousand entries has about 30,000.
 */
const VALUES_MAX = 65_536;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACE = 0x7d;
const CLOSE_BRACKET = 0x5d;
const COMMA = 0x2c;
const COLON = 0x3a;

/** How a JSON text is built, as far as bounds are concerned. */
export interface DocumentShape {
  readonly depth: number;
  /** Commas and colons outside strings: about the number of its names and values. */
  readonly values: number;
}

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

/**
 * Measures a JSON text without parsing it, in one pass. Stops at the first bound that is passed.
 * @see CVE-2025-53493 of containerd: an index of arbitrary depth and number of entries
 */
export function shapeOf(bytes: Uint8Array): DocumentShape {
  let depth = 0;
  let deepest = 0;
  let values = 0;
  // A JSON text has at most one string more than it has commas and colons: a text with more of them is no JSON.
  let strings = 0;
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at] as number;
    if (byte === QUOTE) {
      strings += 1;
      if (strings > values + 1) break;
      at = endOfString(bytes, at + 1);
    } else if (byte === COMMA || byte === COLON) {
      values += 1;
      if (values > VALUES_MAX) break;
    } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      depth += 1;
      if (depth > deepest) deepest = depth;
      if (deepest > DEPTH_MAX) break;
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      depth -= 1;
    }
  }
  return { depth: deepest, values };
}

/**
 * Refuses a document that is not worth parsing, before it is parsed.
 * @throws {RegistryError} MANIFEST_INVALID
 */
export function checkShape(bytes: Uint8Array): DocumentShape {
  const shape = shapeOf(bytes);
  if (shape.depth > DEPTH_MAX) {
    throw new RegistryError('MANIFEST_INVALID', `the manifest nests deeper than ${DEPTH_MAX} levels`);
  }
  if (shape.values > VALUES_MAX) {
    throw new RegistryError('MANIFEST_INVALID', `the manifest has more than ${VALUES_MAX} names and values`);
  }
  return shape;
}
