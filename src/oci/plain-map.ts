/** Reads maps out of YAML and JSON documents that people write; every error names what is wrong with which part. */

export type PlainMap = Readonly<Record<string, unknown>>;

/** @param what names the part in an error. */
export function mapOf(value: unknown, what: string): PlainMap {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error(`${what} must hold names and values`);
  return value as PlainMap;
}

/** @throws {Error} for a key that is not among the known ones: a slip of the pen must not pass for a setting. */
export function refuseUnknown(map: PlainMap, known: readonly string[], what: string): void {
  const key = Object.keys(map).find((name) => !known.includes(name));
  if (key !== undefined) throw new Error(`${what}: there is no “${key}”; known are ${known.join(', ')}`);
}

/** A text, or undefined when there is none. */
export function textAt(map: PlainMap, key: string, what: string): string | undefined {
  const value = map[key];
  if (value === undefined || (typeof value === 'string' && value !== '')) return value;
  throw new Error(`${what}: ${key} must be a text`);
}

/** @throws {Error} when there is none. */
export function requiredTextAt(map: PlainMap, key: string, what: string): string {
  const text = textAt(map, key, what);
  if (text === undefined) throw new Error(`${what}: ${key} is missing`);
  return text;
}

/** A list of texts, or a single one; undefined when there is none. */
export function textsAt(map: PlainMap, key: string, what: string): readonly string[] | undefined {
  const value = map[key];
  if (value === undefined) return undefined;
  const list: unknown = typeof value === 'string' ? [value] : value;
  if (!Array.isArray(list) || !list.every((item) => typeof item === 'string'))
    throw new Error(`${what}: ${key} must be a list of texts`);
  return list;
}

/** True, false, or undefined when neither is said. */
export function switchAt(map: PlainMap, key: string, what: string): boolean | undefined {
  const value = map[key];
  if (value === undefined || typeof value === 'boolean') return value;
  throw new Error(`${what}: ${key} must be true or false`);
}
