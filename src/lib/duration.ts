const UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** A duration as text: `30s`, `5m`, `250ms`, `1.5h`, `0`. */
export const DURATION = /^(?:0|(\d+(?:\.\d+)?)(ms|s|m|h|d))$/;

/** Parses a duration to milliseconds. Undefined when the text is no duration. */
export function parseDuration(text: string): number | undefined {
  const match = DURATION.exec(text);
  return match ? Number(match[1] ?? 0) * (UNITS[match[2] ?? ''] ?? 0) : undefined;
}

/** Formats milliseconds in the largest unit that divides them: `5s`. */
export function formatDuration(milliseconds: number): string {
  const fitting = Object.entries(UNITS).filter(([, unit]) => milliseconds % unit === 0);
  const [name = 'ms', unit = 1] = fitting.at(-1) ?? [];
  return milliseconds === 0 ? '0' : `${milliseconds / unit}${name}`;
}
