/** Orders what is defined before what is undefined. */
export function comparePresence(a: unknown, b: unknown): number {
  return Number(a === undefined) - Number(b === undefined);
}
