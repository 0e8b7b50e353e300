import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { HostRoot } from './host-root.ts';
import { runBounded } from './run-program.ts';

/** What was read of a host, by path. */
export interface Reads {
  readonly texts: ReadonlyMap<string, string>;
  readonly names: ReadonlyMap<string, readonly string[]>;
  readonly links: ReadonlyMap<string, string>;
}

/** A host root that records all that is read through it. */
export function recordReads(root: HostRoot): { readonly root: HostRoot; readonly reads: Reads } {
  const texts = new Map<string, string>();
  const names = new Map<string, readonly string[]>();
  const links = new Map<string, string>();
  const keep = <T>(map: Map<string, T>, path: string, value: T | undefined): T | undefined => {
    if (value !== undefined) map.set(path, value);
    return value;
  };
  return {
    root: {
      ...root,
      text: (path) => keep(texts, path, root.text(path)),
      head: (path) => keep(texts, path, root.head(path)),
      names: (path) => keep(names, path, root.names(path)),
      linkName: (path) => keep(links, path, root.linkName(path)),
    },
    reads: { texts, names, links },
  };
}

type TextFilter = (text: string) => string | undefined;
const lines =
  (wanted: RegExp) =>
  (text: string): string =>
    text
      .split('\n')
      .filter((line) => wanted.test(line))
      .join('\n');

const PCI_FUNCTION = /^\/sys\/bus\/pci\/devices\/[^/]+\/uevent$/;

/** The part of a file that is kept. Detection needs no more, and some of the rest identifies the machine. */
const TEXT_FILTERS: readonly (readonly [path: RegExp, filter: TextFilter])[] = [
  [/^\/proc\/cpuinfo$/, cutCpuinfo],
  [/^\/proc\/meminfo$/, lines(/^MemTotal:/)],
  [/\/os-release$/, lines(/^(?:ID|VERSION_ID)=/)],
  [/\/ldd$/, (text) => /^.*\bldd \(.*$/m.exec(text)?.[0]],
  [/\/libc\.so\.6$/, (text) => /GNU C Library [^\n\0]*?release version \d+\.\d+/.exec(text)?.[0]],
  // The partitions of a GPU share this number. Its last digits distinguish GPUs but do not identify one.
  [/\/properties$/, (text) => text.replace(/^(unique_id) \d*(\d{6})$/m, '$1 $2')],
  [/\/gpus\/[^/]+\/information$/, lines(/^(?:Model|Device Minor):/)],
  [PCI_FUNCTION, lines(/^(?:DRIVER|PCI_CLASS|PCI_ID|PCI_SLOT_NAME)=/)],
];

/**
 * Displays, accelerators, co-processors, and all functions of Amazon (EFA is a network function). All of them are
 * kept.
 */
const COUNTED_FUNCTION = /^PCI_CLASS=(?:3|12|B40)[0-9A-F]{2,4}$|^PCI_ID=1D0F:/im;

/** Keeps one function of each other kind: only the kinds matter, and a large server has hundreds of functions. */
function cutPciFunctions(texts: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const kinds = new Set<string>();
  return new Map(
    [...texts].filter(([path, text]) => {
      if (!PCI_FUNCTION.test(path) || COUNTED_FUNCTION.test(text)) return true;
      const kind = lines(/^(?:PCI_CLASS|PCI_ID)=/)(text);
      return !kinds.has(kind) && kinds.add(kind);
    }),
  );
}

/** Keeps the first record on x86, where all cores are alike. Removes serial numbers, which small boards print. */
function cutCpuinfo(text: string): string {
  const isX86 = /^vendor_id\s*:\s*(?!IBM)/m.test(text);
  const end = isX86 ? text.search(/\n[ \t]*\n/) : -1;
  const records = end === -1 ? text : text.slice(0, end);
  return `${records
    .split('\n')
    .filter((line) => !/^serial\b/i.test(line))
    .join('\n')}\n\n`;
}

/** For folders whose names are read: which names matter. In other folders all do. */
const NAME_FILTERS: Readonly<Record<string, RegExp>> = {
  '/dev': /^dxg$/,
  // The functions that are kept have files.
  '/sys/bus/pci/devices': /^$/,
  '/sys/class/drm': /^renderD\d+$/,
  '/sys/devices/system/node': /^node\d+$/,
};

/**
 * Writes what was read as a folder that represents the host, without what identifies the machine.
 * @returns the number of files
 * @throws {Error} `EEXIST` when the directory exists
 */
export function writeCapture(directory: string, { texts, names, links }: Reads): number {
  mkdirSync(dirname(directory), { recursive: true });
  mkdirSync(directory);
  const files = new Map<string, string>();
  for (const [path, text] of cutPciFunctions(texts)) {
    const filter = TEXT_FILTERS.find(([pattern]) => pattern.test(path))?.[1];
    const kept = filter === undefined ? text : filter(text);
    if (kept !== undefined && kept !== '') files.set(path, kept.endsWith('\n') ? kept : `${kept}\n`);
  }
  for (const [path, text] of files) {
    mkdirSync(join(directory, dirname(path)), { recursive: true });
    writeFileSync(join(directory, path), text);
  }
  for (const [path, target] of links) {
    if (files.has(path)) continue;
    mkdirSync(join(directory, dirname(path)), { recursive: true });
    symlinkSync(join('..', target), join(directory, path));
  }
  for (const [folder, found] of names) {
    if (found.length === 0) mkdirSync(join(directory, folder), { recursive: true });
    for (const name of found) {
      const path = `${folder}/${name}`;
      if (NAME_FILTERS[folder]?.test(name) === false || files.has(path) || links.has(path)) continue;
      mkdirSync(join(directory, path), { recursive: true });
    }
  }
  return files.size;
}

const SYSCTL_LIMIT_MS = 2000;

/**
 * Writes what detection reads on a Mac, as the one file that represents it.
 * @throws {Error} `EEXIST` when the directory exists
 */
export async function writeMacCapture(directory: string): Promise<number> {
  mkdirSync(directory);
  const keys = [
    'machdep.cpu',
    'hw.optional',
    'hw.memsize',
    'hw.optional.arm64',
    'kern.osrelease',
    'kern.osproductversion',
  ];
  const outcome = await runBounded('sysctl', keys, { limitMs: SYSCTL_LIMIT_MS });
  if (outcome.kind !== 'ended') throw new Error('sysctl did not answer');
  writeFileSync(join(directory, 'sysctl.txt'), outcome.stdout);
  return 1;
}
