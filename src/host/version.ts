/** Numbers of a dotted version, most significant first. */
export type Version = readonly number[];

/** The leading dotted number: `6.1` of `6.1.0-18-amd64` is 6, 1, 0. Undefined when there is none. */
export function parseVersion(text: string): Version | undefined {
  const digits = /^v?(\d+(?:\.\d+)*)/.exec(text.trim())?.[1];
  return digits?.split('.').map(Number);
}

/** Below zero: `a` is older. What is not written counts as 0, so 12 equals 12.0. */
export function compareVersions(a: Version, b: Version): number {
  for (let at = 0; at < Math.max(a.length, b.length); at += 1) {
    const difference = (a[at] ?? 0) - (b[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
