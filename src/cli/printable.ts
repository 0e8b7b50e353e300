/** Somebody else's words may hold anything; a terminal gets printable ones only, on one line. */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '?');
}
