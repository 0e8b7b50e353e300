import { isJsonObject } from './bounded-json.ts';

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
