/**
 * Twelve hexadecimal digits that no other process has, by V8's generator, which the kernel seeds. Unique, not secret:
 * loading Node's cryptography, which could make a secret of them, would take a twentieth of a start.
 */
export function uniqueToken(): string {
  const half = () =>
    Math.floor(Math.random() * 2 ** 24)
      .toString(16)
      .padStart(6, '0');
  return half() + half();
}
