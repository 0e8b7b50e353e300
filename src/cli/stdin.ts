/**
 * Reads all of stdin as text, of whatever kind it is: `/dev/stdin` cannot be opened when it is a socket.
 * Undefined when it is longer than `maxBytes`.
 */
export async function readStdin(maxBytes: number): Promise<string | undefined> {
  const parts: Buffer[] = [];
  let total = 0;
  for await (const chunk of process.stdin) {
    const part = Buffer.from(chunk as Buffer | string);
    total += part.length;
    if (total > maxBytes) return undefined;
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}
