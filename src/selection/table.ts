/** A table that is asked with words of an image's author: in an object, `constructor` and `__proto__` would be found. */
export function tableOf<Value>(rows: Readonly<Record<string, Value>>): ReadonlyMap<string, Value> {
  return new Map(Object.entries(rows));
}
