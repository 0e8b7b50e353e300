/** Levenshtein's distance: insertions, deletions and replacements, in characters. */
export function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, at) => at);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}

const LENGTH_MAX = 64;

/** The known word that a misspelt one most probably means; undefined when none is near. */
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
