/** A lookup table for untrusted keys: in a plain object, `constructor` and `__proto__` would be found. */
export function tableOf<Value>(rows: Readonly<Record<string, Value>>): ReadonlyMap<string, Value> {
  return new Map(Object.entries(rows));
}
