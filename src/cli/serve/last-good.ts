import { copyFile, mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { makeDirectory } from '../../lib/atomic-file.ts';
import type { ServeSettings } from './compose.ts';

/** Flags as commander gives them. */
type Flags = Readonly<Record<string, unknown>>;

/** Settings, and the file that some of them came from. */
export type ReadSettings = ServeSettings & { readonly filePath: string | undefined };

/**
 * The configuration files that the mirror last started or reloaded with, kept beside the data: a mirror whose files have
 * become unreadable meanwhile starts with these, since a wrong line must not take the pulls of a node away. Machine types
 * are not kept: an account that was removed must not come back.
 */
export interface LastGood {
  /** Keeps the files that these settings were read from. Rejects when the disk refuses them. */
  keep(settings: ReadSettings): Promise<void>;
  /** The flags that name the kept files; undefined when none are kept. */
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

/** The files to keep, as paths of this machine and of the kept folder. */
async function filesOf({ filePath, values }: ReadSettings): Promise<readonly Kept[]> {
  const lists = await readdir(values.images).catch(() => []);
  return [
    ...(filePath === undefined ? [] : [{ from: filePath, to: 'config.yaml' }]),
    ...lists
      .filter((name) => /\.ya?ml$/.test(name) && !name.startsWith('.'))
      .map((name) => ({ from: join(values.images, name), to: join('images', name) })),
  ];
}

/** @param data the data directory, as it is known without a configuration file */
export function createLastGood(data: string): LastGood {
  const [folder, next, previous] = ['last-good', 'last-good.new', 'last-good.old'].map((name) =>
    join(data, name),
  ) as [string, string, string];

  async function keep(settings: ReadSettings): Promise<void> {
    const files = await filesOf(settings);
    await rm(next, { recursive: true, force: true });
    if (files.length > 0) {
      await makeDirectory(data, 0o700);
      await mkdir(join(next, 'images'), { recursive: true, mode: 0o700 });
      for (const { from, to } of files) await copyFile(from, join(next, to));
    }
    // At every moment one of the two folders is whole.
    await rm(previous, { recursive: true, force: true });
    if (await exists(folder)) await rename(folder, previous);
    if (files.length > 0) await rename(next, folder);
    await rm(previous, { recursive: true, force: true });
  }

  return {
    keep,
    async flags() {
      for (const kept of [folder, previous]) {
        const [config, images] = [join(kept, 'config.yaml'), join(kept, 'images')];
        if (!(await exists(images))) continue;
        return { images, ...((await exists(config)) ? { config } : {}) };
      }
      return undefined;
    },
  };
}
