/** Replaces controls and line ends, so that text from another party is harmless on a terminal, on one line. */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '?');
}

/** Printable ASCII and line ends only. */
const PLAIN = /^[\n\x20-\x7e]*$/;

function escapeUnits(character: string): string {
  return Array.from({ length: character.length }, (_, at) => {
    const unit = character.charCodeAt(at).toString(16).padStart(4, '0');
    return `\\u${unit}`;
  }).join('');
}

/**
 * JSON text without invisible characters. {@link JSON.stringify} does not escape C1 controls and bidirectional
 * marks.
 */
export function jsonText(value: unknown, indent?: number): string {
  const text = JSON.stringify(value, undefined, indent) ?? 'null';
  // Most texts are plain, and the other expression takes a measurable part of the start.
  if (PLAIN.test(text)) return text;
  // Characters that a terminal or editor interprets instead of showing: controls (C1 included) and format
  // characters.
  return text.replaceAll(/[\u007f-\u009f\u2028\u2029]|\p{Cf}/gu, escapeUnits);
}

/** Breaks a text at spaces into lines of at most `width` columns. A longer word gets a line of its own. */
export function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}

/** Formats a table. Each column is as wide as its widest cell; the last one is not padded. */
export function tableText(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    rows.reduce((width, row) => Math.max(width, row[column]?.length ?? 0), 0),
  );
  return rows
    .map((row) =>
      row.map((cell, column) => (column < row.length - 1 ? cell.padEnd(widths[column] ?? 0) : cell)),
    )
    .map((cells) => `${cells.join('  ')}\n`)
    .join('');
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** Formats a size for people: `3.4 MiB`. */
export function sizeText(sizeBytes: number): string {
  const power = Math.min(UNITS.length - 1, Math.floor(Math.log2(Math.max(sizeBytes, 1)) / 10));
  return `${(sizeBytes / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${UNITS[power]}`;
}

/** Formats a size that is about a whole number of GiB: `64 GiB`. */
export function gibText(sizeBytes: number): string {
  return `${Math.round(sizeBytes / 2 ** 30)} GiB`;
}

/** Formats a factor for people: `1.80x`. */
export function timesText(times: number): string {
  return `${times.toFixed(2)}x`;
}

/** Each line once, in order of appearance, with its count: `8 × NVIDIA H100`. */
export function counted(lines: readonly string[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const line of lines) counts.set(line, (counts.get(line) ?? 0) + 1);
  return [...counts].map(([line, count]) => (count === 1 ? line : `${count} × ${line}`));
}

/** For commander: collects the values of an option that may be repeated. */
export function repeated(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

/** Limit of a text from another party in a message for people, in characters. The text may have megabytes. */
const TEXT_MAX_CHARACTERS = 200;
const ITEMS_MAX = 8;

/** Truncates a text to a length that people read. */
export function truncateText(text: string, maxCharacters = TEXT_MAX_CHARACTERS): string {
  return text.length <= maxCharacters ? text : `${text.slice(0, maxCharacters)}…`;
}

/** Formats the first few items, and the number of those left out. */
export function joinLimited<Item>(
  items: readonly Item[],
  separator: string,
  tell: (item: Item) => string,
): string {
  const told = items.slice(0, ITEMS_MAX).map(tell);
  const more = items.length - told.length;
  return [...told, ...(more > 0 ? [`${more} more`] : [])].join(separator);
}

/**
 * The edit distance in characters: insertions, deletions, replacements, and swaps of two neighbours.
 * @see https://en.wikipedia.org/wiki/Damerau-Levenshtein_distance (optimal string alignment)
 */
export function editDistance(from: string, to: string): number {
  let before: number[] = [];
  let row = Array.from({ length: to.length + 1 }, (_, at) => at);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      const isExchange = j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1];
      const exchanged = isExchange ? (before[j - 2] ?? 0) + 1 : replaced;
      next.push(Math.min(replaced, exchanged, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    before = row;
    row = next;
  }
  return row[to.length] ?? 0;
}

const LENGTH_MAX = 64;

/** The known word that a misspelt one most probably means; undefined when none is close. */
export function closestWord(written: string, known: Iterable<string>): string | undefined {
  const meant = written.trim().toLowerCase();
  if (meant === '' || meant.length > LENGTH_MAX) return undefined;
  const limit = Math.max(1, Math.floor(meant.length / 3));
  const near = [...new Set(known)]
    .map((word) => ({ word, distance: editDistance(meant, word.toLowerCase()) }))
    .filter(({ distance }) => distance <= limit)
    .sort((a, b) => a.distance - b.distance || (a.word < b.word ? -1 : 1));
  return near[0]?.word;
}

/** A lookup table for untrusted keys. A plain object would find `constructor` and `__proto__`. */
export function tableOf<Value>(rows: Readonly<Record<string, Value>>): ReadonlyMap<string, Value> {
  return new Map(Object.entries(rows));
}
