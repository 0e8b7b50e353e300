import { copyFile, mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { makeDirectory } from '../../lib/atomic-file.ts';
import { isForeignToRoot, refuseForeignData } from '../become-owner.ts';
import type { LoadedSettings } from '../settings/load.ts';
import type { SERVE_SETTINGS } from '../settings/table.ts';

/** Flags in commander's form. */
type Flags = Readonly<Record<string, unknown>>;

/** Settings, and the file that some of them come from. */
export type ReadSettings = LoadedSettings<typeof SERVE_SETTINGS>;

/**
 * The configuration files of the mirror's last successful start or reload, stored next to the data. A mirror
 * whose files have become unreadable starts with these, so that one invalid line does not stop the pulls of a
 * node. Machine files are not stored: a removed account must not come back.
 */
export interface LastGood {
  /** Stores the files of these settings. Rejects when the disk cannot store them, or root must not. */
  keep(settings: ReadSettings): Promise<void>;
  /** Returns flags that name the stored files; undefined when there are none, or root must not trust them. */
  flags(): Promise<Flags | undefined>;
}

interface Kept {
  readonly from: string;
  readonly to: string;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** Returns the files to store, with their paths on this machine and in the folder. */
async function filesOf({ filePath, values }: ReadSettings): Promise<readonly Kept[]> {
  const lists = await readdir(values.images).catch(() => []);
  return [
    ...(filePath === undefined ? [] : [{ from: filePath, to: 'config.yaml' }]),
    ...lists
      .filter((name) => /\.ya?ml$/.test(name) && !name.startsWith('.'))
      .map((name) => ({ from: join(values.images, name), to: join('images', name) })),
  ];
}

/** @param data the data directory, as known without a configuration file */
export function createLastGood(data: string): LastGood {
  const [folder, next, previous] = ['last-good', 'last-good.new', 'last-good.old'].map((name) =>
    join(data, name),
  ) as [string, string, string];

  async function keep(settings: ReadSettings): Promise<void> {
    refuseForeignData(data);
    const files = await filesOf(settings);
    await rm(next, { recursive: true, force: true });
    if (files.length > 0) {
      await makeDirectory(data, 0o700);
      await mkdir(join(next, 'images'), { recursive: true, mode: 0o700 });
      for (const { from, to } of files) await copyFile(from, join(next, to));
    }
    // At every moment at least one of the two folders is complete.
    await rm(previous, { recursive: true, force: true });
    if (await exists(folder)) await rename(folder, previous);
    if (files.length > 0) await rename(next, folder);
    await rm(previous, { recursive: true, force: true });
  }

  return {
    keep,
    async flags() {
      if (isForeignToRoot(data)) return undefined;
      for (const kept of [folder, previous]) {
        const [config, images] = [join(kept, 'config.yaml'), join(kept, 'images')];
        if (!(await exists(images))) continue;
        return { images, ...((await exists(config)) ? { config } : {}) };
      }
      return undefined;
    },
  };
}
