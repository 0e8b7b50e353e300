import type { Command } from 'commander';
import { readValue } from '../../../lib/config-source.ts';
import { sizeText, tableText } from '../../../lib/text.ts';
import type { StoredItem } from '../../../store/admin.ts';
import type { Store } from '../../../store/store.ts';
import { becomeOwnerOf } from '../../become-owner.ts';
import { helpText } from '../../help-text.ts';
import { JsonOption } from '../../json-option.ts';
import { documentText } from '../../output.ts';
import { addSettings, loadServiceSettings } from '../../settings/load.ts';
import { SERVE_SETTINGS } from '../../settings/table.ts';
import { DurationMs, SizeBytes } from '../../settings/values.ts';
import { UserError } from '../../user-error.ts';

const SETTINGS = { data: SERVE_SETTINGS.data, cacheSize: SERVE_SETTINGS.cacheSize } as const;

const EXAMPLES = {
  group: helpText(
    [
      ['metahub cache ls', 'list stored content by repository'],
      ['metahub cache verify', 'read everything, remove corrupt content'],
      ['metahub cache prune --older-than 30d', 'remove content that nobody has used for 30 days'],
    ],
    'These commands are safe while a mirror uses the same data directory. For root, the default is the data of the installed service.',
  ),
  ls: helpText([
    ['metahub cache ls', 'list content by repository'],
    ['metahub cache ls --all', 'list each item with its digest'],
    ['sudo metahub cache ls', 'list content of the installed service'],
  ]),
  verify: helpText(
    [['metahub cache verify'], ['metahub cache verify --json | jq .corrupt']],
    'Exit status: 0 all content is intact, 1 nothing could be read, 2 a wrong option, 3 corrupt content was removed.',
  ),
  prune: helpText([
    ['metahub cache prune', 'shrink the stored content to the cache size'],
    ['metahub cache prune --to 10GiB', 'remove the least recently used content until 10 GiB remain'],
    ['metahub cache prune --older-than 30d', 'remove content that nobody has used for 30 days'],
    ['metahub cache prune --all --dry-run', 'show how much it would remove'],
  ]),
} as const;

type Flags = Readonly<Record<string, unknown>>;

interface Opened {
  readonly store: Store;
  readonly cacheSize: number;
}

/** Opens the store of the data directory while `work` runs. */
async function withStore(
  flags: Flags,
  writes: boolean,
  work: (opened: Opened) => Promise<void>,
): Promise<void> {
  const { values } = await loadServiceSettings(SETTINGS, flags);
  const [{ openStore }, { defaultCacheBytes }, { layoutOf }, { accessSync, constants }] = await Promise.all([
    import('../../../store/store.ts'),
    import('../../../store/disk.ts'),
    import('../../../store/layout.ts'),
    import('node:fs'),
  ]);
  let directory: string;
  try {
    directory = becomeOwnerOf(values.data);
    accessSync(layoutOf(directory).root, constants.R_OK | constants.X_OK);
  } catch (cause) {
    const isThere = (cause as NodeJS.ErrnoException).code !== 'ENOENT';
    throw new UserError(
      isThere ? `${values.data} cannot be read` : `there is no content below ${values.data}`,
      {
        cause,
        nextStep: isThere
          ? 'Run it as the user of the mirror, or as root.'
          : 'Name the mirror’s --data directory.',
      },
    );
  }
  const problems: string[] = [];
  const store = await openStore({
    directory,
    maxBytes: Number.POSITIVE_INFINITY,
    maxItems: Number.POSITIVE_INFINITY,
    now: Date.now,
    log: (_level, event, _message, fields) => {
      if (event === 'cache-unwritable') problems.push(String(fields?.['reason']));
    },
  });
  try {
    const cacheSize = values.cacheSize ?? (await defaultCacheBytes(directory));
    await work({ store, cacheSize });
  } finally {
    await store.close();
  }
  if (writes && problems.length > 0)
    throw new UserError(`${values.data} cannot be written to: ${problems[0]}`);
}

async function list({ store, cacheSize }: Opened, flags: Flags): Promise<void> {
  const items = await store.stock.list();
  if (flags['json']) process.stdout.write(documentText<'cache-ls'>({ items, cacheSize }));
  else process.stdout.write(flags['all'] ? renderItems(items) : renderRepositories(items, cacheSize));
}

async function verify({ store }: Opened, { json }: Flags): Promise<void> {
  const items = await store.stock.list();
  const corrupt: StoredItem[] = [];
  for (const item of items) {
    if (await store.stock.verify(item.digest)) continue;
    corrupt.push(item);
    const of = item.repository === undefined ? '' : ` of ${item.repository}`;
    if (!json) process.stdout.write(`corrupt, removed: ${item.digest}${of}\n`);
  }
  if (json) process.stdout.write(documentText<'cache-verify'>({ verified: items.length, corrupt }));
  else process.stdout.write(`${items.length - corrupt.length} of ${items.length} items are intact\n`);
  if (corrupt.length > 0) process.exitCode = 3;
}

/** Returns the items to remove, the least recently used first. */
function chooseItems(items: readonly StoredItem[], flags: Flags, cacheSize: number): readonly StoredItem[] {
  if (flags['all']) return items;
  if (flags['olderThan'] !== undefined) {
    const usedBeforeMs = Date.now() - readValue(DurationMs, flags['olderThan'], ['--older-than']);
    return items.filter(({ usedMs }) => usedMs < usedBeforeMs);
  }
  const bound = flags['to'] === undefined ? cacheSize : readValue(SizeBytes, flags['to'], ['--to']);
  let heldBytes = diskBytesOfAll(items);
  return items.filter(({ diskBytes }) => {
    if (heldBytes <= bound) return false;
    heldBytes -= diskBytes;
    return true;
  });
}

async function prune({ store, cacheSize }: Opened, flags: Flags): Promise<void> {
  const chosen = chooseItems(await store.stock.list(), flags, cacheSize);
  const isDryRun = flags['dryRun'] === true;
  if (!isDryRun) {
    for (const { digest } of chosen) await store.stock.remove(digest);
    await store.stock.removeOrphans();
  }
  if (flags['json']) {
    const answer = { dryRun: isDryRun, dropped: chosen, diskBytes: diskBytesOfAll(chosen) };
    process.stdout.write(documentText<'cache-prune'>(answer));
    return;
  }
  const verb = isDryRun ? 'would remove' : 'removed';
  process.stdout.write(`${verb} ${chosen.length} items, ${sizeText(diskBytesOfAll(chosen))}\n`);
}

/** Adds the subcommands of `metahub cache`. */
export function configure(command: Command): void {
  command.addHelpText('after', EXAMPLES.group);
  const add = (
    name: 'ls' | 'verify' | 'prune',
    summary: string,
    work: (opened: Opened, flags: Flags) => Promise<void>,
  ) => {
    const sub = command.command(name).description(summary).exitOverride();
    addSettings(sub, SETTINGS);
    sub
      .addHelpText('after', EXAMPLES[name])
      .action((flags: Flags) => withStore(flags, work !== list, (opened) => work(opened, flags)));
    return sub;
  };
  add('ls', 'list stored content', list)
    .alias('list')
    .option('--all', 'list every item, the least recently used first')
    .addOption(new JsonOption('cache-ls'));
  add('verify', 'read everything and remove content that does not have its digest', verify).addOption(
    new JsonOption('cache-verify'),
  );
  add('prune', 'remove the least recently used content', prune)
    .option('--to <size>', 'shrink the stored content to this size; default: the cache size')
    .addOption(
      command
        .createOption('--older-than <duration>', 'remove content that was not used for this long: 30d')
        .conflicts('to'),
    )
    .addOption(command.createOption('--all', 'remove everything').conflicts(['to', 'olderThan']))
    .option('--dry-run', 'only show what would be removed')
    .addOption(new JsonOption('cache-prune'));
}

/** Formats the time of the last use: `3 hours ago`. Uses are recorded to the hour. */
function ageText(usedMs: number): string {
  const hours = Math.max(0, Math.floor((Date.now() - usedMs) / 3_600_000));
  if (hours === 0) return 'within the hour';
  if (hours < 48) return hours === 1 ? '1 hour ago' : `${hours} hours ago`;
  return `${Math.floor(hours / 24)} days ago`;
}

/** Returns the disk space of items in bytes, which the cache size limits. */
function diskBytesOfAll(items: readonly StoredItem[]): number {
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

/** Formats a line for each repository, and the total compared with the cache size. */
function renderRepositories(items: readonly StoredItem[], cacheSize: number): string {
  const rows = byRepository(items).map(([repository, own]) => {
    const tags = own.flatMap((item) => item.tags.map((name) => name.slice(name.lastIndexOf(':') + 1)));
    const usedMs = own.reduce((latest, item) => Math.max(latest, item.usedMs), 0);
    return [repository, sizeText(diskBytesOfAll(own)), ageText(usedMs), [...new Set(tags)].sort().join(' ')];
  });
  const table = rows.length === 0 ? '' : tableText([['REPOSITORY', 'SIZE', 'USED', 'TAGS'], ...rows]);
  return `${table}${items.length} items, ${sizeText(diskBytesOfAll(items))} of ${sizeText(cacheSize)}\n`;
}

/** Formats a line for each item. */
function renderItems(items: readonly StoredItem[]): string {
  const rows = items.map(({ digest, kind, repository, tags, sizeBytes, usedMs }) => [
    kind ?? '(unknown)',
    sizeText(sizeBytes),
    ageText(usedMs),
    digest,
    tags[0] ?? repository ?? '',
  ]);
  return tableText([['KIND', 'SIZE', 'USED', 'DIGEST', 'OF'], ...rows]);
}
