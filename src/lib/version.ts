/** The numbers of a dotted version, the most significant first. */
export type Version = readonly number[];

/** Parses the leading dotted number: `6.1.0-18-amd64` gives 6, 1, 0. Undefined when there is none. */
export function parseVersion(text: string): Version | undefined {
  const digits = /^v?(\d+(?:\.\d+)*)/.exec(text.trim())?.[1];
  return digits?.split('.').map(Number);
}

/** Negative when `a` is older. Missing numbers count as 0, so 12 equals 12.0. */
export function compareVersions(a: Version, b: Version): number {
  for (let at = 0; at < Math.max(a.length, b.length); at += 1) {
    const difference = (a[at] ?? 0) - (b[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

type Operator = '>=' | '<=' | '!=' | '=' | '>' | '<';

export interface Comparison {
  readonly operator: Operator;
  readonly version: Version;
}

const COMPARISON = /^(>=|<=|!=|==|=|>|<)?\s*v?(\d+(?:\.\d+)*)$/;
const SPAN = /^(\d+(?:\.\d+)*)-(\d+(?:\.\d+)*)$/;

/**
 * Parses a range of versions, as comparisons that must all hold: `12.4` (at least), `>=470,<471`, `=7.5`, `8.0-8.9`
 * (both ends included). Undefined when the text is not a range.
 */
export function parseVersionRange(text: string): readonly Comparison[] | undefined {
  const span = SPAN.exec(text.trim());
  const parts = span ? [`>=${span[1]}`, `<=${span[2]}`] : text.split(',');
  const comparisons = parts.map((part): Comparison | undefined => {
    const [whole, written, digits] = COMPARISON.exec(part.trim()) ?? [];
    if (whole === undefined || digits === undefined) return undefined;
    const operator = written === '==' ? '=' : ((written ?? '>=') as Operator);
    return { operator, version: digits.split('.').map(Number) };
  });
  return comparisons.every((comparison) => comparison !== undefined) ? comparisons : undefined;
}

function holds({ operator, version }: Comparison, actual: Version): boolean {
  const order = compareVersions(actual, version);
  switch (operator) {
    case '>=':
      return order >= 0;
    case '<=':
      return order <= 0;
    case '>':
      return order > 0;
    case '<':
      return order < 0;
    case '=':
      return order === 0;
    case '!=':
      return order !== 0;
  }
}

/** True when all comparisons of the range hold. */
export function inRange(range: readonly Comparison[], actual: Version): boolean {
  return range.every((comparison) => holds(comparison, actual));
}

/**
 * The lowest version of a range. Of two ranges that hold, the one with the greater lowest version is the closer
 * fit.
 */
export function lowerBound(range: readonly Comparison[]): Version {
  const lower = range.filter(({ operator }) => operator === '>=' || operator === '>' || operator === '=');
  return lower.reduce<Version>(
    (best, { version }) => (compareVersions(version, best) > 0 ? version : best),
    [],
  );
}
