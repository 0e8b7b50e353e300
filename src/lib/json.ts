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

/**
 * A property of objects and arrays: the JSON text of members that are numbers which JavaScript cannot represent, such
 * as integers above 2^53. It is enumerable, so that spreading copies it. `JSON.stringify` ignores it.
 */
const EXACT = Symbol('exact numbers');

type Marked = object & { readonly [EXACT]?: Map<string, string> };

const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],]|-?\d[\d.eE+-]*/g;
const NUMBER = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;

/** The value of a number's text: its significant digits and the exponent of the last one. */
function decimalOf(text: string): string {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = NUMBER.exec(text) ?? [];
  const digits = (whole + fraction).replace(/^0+/, '');
  let end = digits.length;
  while (end > 0 && digits[end - 1] === '0') end -= 1;
  const last = Number(exponent) - fraction.length + digits.length - end;
  return end === 0 ? '0' : `${sign}${digits.slice(0, end)}e${last}`;
}

function isExact(text: string): boolean {
  return decimalOf(text) === decimalOf(String(Number(text)));
}

function mark(container: Marked): Map<string, string> {
  const known = container[EXACT];
  if (known) return known;
  const texts = new Map<string, string>();
  Object.assign(container, { [EXACT]: texts });
  return texts;
}

interface Open {
  /** Undefined when a later member of the same name has replaced it. */
  readonly container: Marked | undefined;
  readonly isArray: boolean;
  /** The name or index of the current member. */
  key: string;
  isName: boolean;
}

function memberOf({ container, key }: Open): unknown {
  return container !== undefined && Object.hasOwn(container, key)
    ? (container as Readonly<Record<string, unknown>>)[key]
    : undefined;
}

function openContainer(parent: Open | undefined, root: object, isArray: boolean): Open {
  const value = parent === undefined ? root : memberOf(parent);
  const fits = isArray ? Array.isArray(value) : isJsonObject(value);
  return { container: fits ? (value as Marked) : undefined, isArray, key: '0', isName: !isArray };
}

function readNumber(root: Marked, open: Open, text: string): void {
  const { container, key } = open;
  if (container === undefined) return;
  if (isExact(text)) {
    container[EXACT]?.delete(key);
  } else if (Object.is(memberOf(open), Number(text))) {
    mark(root);
    mark(container).set(key, text);
  }
}

/**
 * Remembers, in a value that was parsed from this JSON text, the text of numbers that JavaScript cannot represent.
 * {@link exactJson} writes it again, also for copies of the objects by spreading.
 */
export function keepExactNumbers(text: string, root: object): void {
  const stack: Open[] = [];
  for (const [token] of text.matchAll(TOKEN)) {
    const open = stack.at(-1);
    if (token === '{' || token === '[') {
      stack.push(openContainer(open, root, token === '['));
    } else if (token === '}' || token === ']') {
      stack.pop();
    } else if (open === undefined) {
      return;
    } else if (token === ',') {
      if (open.isArray) open.key = String(Number(open.key) + 1);
      open.isName = !open.isArray;
    } else if (!token.startsWith('"')) {
      readNumber(root, open, token);
    } else if (open.isName) {
      open.key = JSON.parse(token) as string;
      open.isName = false;
    }
  }
}

function write(value: unknown, text: string | undefined): string {
  if (text !== undefined && Object.is(value, Number(text))) return text;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const { [EXACT]: texts }: Marked = value;
  if (Array.isArray(value)) {
    return `[${value.map((item, index) => write(item, texts?.get(String(index)))).join(',')}]`;
  }
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${write(member, texts?.get(name))}`).join(',')}}`;
}

/** Writes plain data as JSON, like `JSON.stringify`, with the numbers of {@link keepExactNumbers} as they were read. */
export function exactJson(root: object): string {
  return (root as Marked)[EXACT] === undefined ? JSON.stringify(root) : write(root, undefined);
}
