import { closestWord } from './text.ts';

/** Reads maps out of YAML and JSON documents that people write; every error names what is wrong with which part. */

export type PlainObject = Readonly<Record<string, unknown>>;

/** @param what names the part in an error. */
export function expectObject(value: unknown, what: string): PlainObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error(`${what} must hold names and values`);
  return value as PlainObject;
}

/** Says that a key is unknown, what was probably meant, and which keys there are. */
export function unknownKey(key: string, known: readonly string[]): string {
  const meant = closestWord(key, known);
  const list = known.join(', ');
  return meant === undefined
    ? `there is no “${key}”; known are ${list}`
    : `there is no “${key}”; did you mean ${meant}? Known are ${list}`;
}

/** @throws {Error} for a key that is not among the known ones: a slip of the pen must not pass for a setting. */
export function refuseUnknownKeys(map: PlainObject, known: readonly string[], what: string): void {
  const key = Object.keys(map).find((name) => !known.includes(name));
  if (key !== undefined) throw new Error(`${what}: ${unknownKey(key, known)}`);
}

/** A text, or undefined when there is none. */
export function optionalString(map: PlainObject, key: string, what: string): string | undefined {
  const value = map[key];
  if (value === undefined || (typeof value === 'string' && value !== '')) return value;
  throw new Error(`${what}: ${key} must be a text`);
}

/** @throws {Error} when there is none. */
export function requiredString(map: PlainObject, key: string, what: string): string {
  const text = optionalString(map, key, what);
  if (text === undefined) throw new Error(`${what}: ${key} is missing`);
  return text;
}

/** A list of texts, or a single one; undefined when there is none. */
export function optionalStrings(map: PlainObject, key: string, what: string): readonly string[] | undefined {
  const value = map[key];
  if (value === undefined) return undefined;
  const list: unknown = typeof value === 'string' ? [value] : value;
  if (!Array.isArray(list) || !list.every((item) => typeof item === 'string'))
    throw new Error(`${what}: ${key} must be a list of texts`);
  return list;
}

/** True, false, or undefined when neither is said. */
export function optionalBoolean(map: PlainObject, key: string, what: string): boolean | undefined {
  const value = map[key];
  if (value === undefined || typeof value === 'boolean') return value;
  throw new Error(`${what}: ${key} must be true or false`);
}

/** A lookup table for untrusted keys: in a plain object, `constructor` and `__proto__` would be found. */
export function tableOf<Value>(rows: Readonly<Record<string, Value>>): ReadonlyMap<string, Value> {
  return new Map(Object.entries(rows));
}
