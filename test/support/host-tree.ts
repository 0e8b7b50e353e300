import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  type CollectedDiagnostics,
  collectDiagnostics,
  type HostRoot,
  openHostRoot,
} from '../../src/probe/host-root.ts';
import { temporaryFolder } from './folder.ts';

/** Path below the root -> content, or the target of a symbolic link. */
export type Tree = Readonly<Record<string, string | { readonly link: string }>>;

/** Writes a tree of files, removed after the test. Returns its path. */
export function writeTree(tree: Tree): string {
  const path = temporaryFolder();
  for (const [name, content] of Object.entries(tree)) {
    const file = join(path, name);
    mkdirSync(dirname(file), { recursive: true });
    if (typeof content === 'string') writeFileSync(file, content);
    else symlinkSync(content.link, file);
  }
  return path;
}

export interface TreeHost {
  readonly root: HostRoot;
  readonly problems: CollectedDiagnostics;
}

/** A host root over a tree. With `isLive` a probe treats it as this machine. */
export function treeHost(tree: Tree, { isLive = false } = {}): TreeHost {
  const problems = collectDiagnostics();
  const root = openHostRoot(writeTree(tree), {
    onUnreadable: (path, code) => problems.fail(`${path}: ${code}`),
  });
  return { root: isLive ? { ...root, isLive } : root, problems };
}

/** The `uevent` of a PCI function, under the name that sysfs gives it. */
export function pciFunction(address: string, id: string, pciClass = '30200', driver?: string): Tree {
  const lines = [`PCI_CLASS=${pciClass}`, `PCI_ID=${id.toUpperCase()}`, `PCI_SLOT_NAME=${address}`];
  if (driver !== undefined) lines.unshift(`DRIVER=${driver}`);
  return { [`sys/bus/pci/devices/${address}/uevent`]: `${lines.join('\n')}\n` };
}
