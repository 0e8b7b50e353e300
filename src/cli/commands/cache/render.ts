import { sizeText, tableText } from '../../../lib/text.ts';
import type { StoredItem } from '../../../store/admin.ts';

/** `3 hours ago`; uses are written down to the hour. */
function ageText(usedMs: number): string {
  const hours = Math.max(0, Math.floor((Date.now() - usedMs) / 3_600_000));
  if (hours === 0) return 'within the hour';
  if (hours < 48) return hours === 1 ? '1 hour ago' : `${hours} hours ago`;
  return `${Math.floor(hours / 24)} days ago`;
}

/** What items take of the disk, which is what the cache size bounds, in bytes. */
export function diskBytesOfAll(items: readonly StoredItem[]): number {
  return items.reduce((sum, { diskBytes }) => sum + diskBytes, 0);
}

function byRepository(items: readonly StoredItem[]): readonly (readonly [string, readonly StoredItem[]])[] {
  const groups = new Map<string, StoredItem[]>();
  for (const item of items) {
    const name = item.repository ?? '(unknown)';
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [item]);
    else group.push(item);
  }
  return [...groups].sort(([a], [b]) => (a < b ? -1 : 1));
}

/** A line for each repository, and what all of them take of the cache's size. */
export function renderRepositories(items: readonly StoredItem[], cacheSize: number): string {
  const rows = byRepository(items).map(([repository, own]) => {
    const tags = own.flatMap((item) => item.tags.map((name) => name.slice(name.lastIndexOf(':') + 1)));
    const usedMs = own.reduce((latest, item) => Math.max(latest, item.usedMs), 0);
    return [repository, sizeText(diskBytesOfAll(own)), ageText(usedMs), [...new Set(tags)].sort().join(' ')];
  });
  const table = rows.length === 0 ? '' : tableText([['REPOSITORY', 'SIZE', 'USED', 'TAGS'], ...rows]);
  return `${table}${items.length} items, ${sizeText(diskBytesOfAll(items))} of ${sizeText(cacheSize)}\n`;
}

/** A line for each item. */
export function renderItems(items: readonly StoredItem[]): string {
  const rows = items.map(({ digest, kind, repository, tags, sizeBytes, usedMs }) => [
    kind ?? '(unknown)',
    sizeText(sizeBytes),
    ageText(usedMs),
    digest,
    tags[0] ?? repository ?? '',
  ]);
  return tableText([['KIND', 'SIZE', 'USED', 'DIGEST', 'OF'], ...rows]);
}
