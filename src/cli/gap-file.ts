import { join } from 'node:path';
import { makeDirectory, replaceFile } from '../lib/atomic-file.ts';
import { readTextFile } from '../lib/regular-file.ts';
import type { Gap } from '../selection/gap-schema.ts';

/** The pulls that another build would have served better, as a mirror has recorded them: `<data>/gaps.json`. */
function fileIn(data: string): string {
  return join(data, 'gaps.json');
}

/**
 * Reads the gaps; none when the file is missing, because a mirror without gaps writes none.
 * @throws {Error} when the file is unreadable, or has another format
 */
export async function readGaps(data: string): Promise<readonly Gap[]> {
  let text: string;
  try {
    text = await readTextFile(fileIn(data));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  const { parseGaps } = await import('../selection/gap-schema.ts');
  return parseGaps(JSON.parse(text));
}

/** Returns the document of the file and of the API. */
export function gapsDocument(gaps: readonly Gap[]): object {
  return { version: 1, gaps };
}

/** Replaces the whole file. Only its owner may read it, because it contains image names. */
export async function writeGaps(data: string, gaps: readonly Gap[]): Promise<void> {
  await makeDirectory(data, 0o755);
  await replaceFile(fileIn(data), Buffer.from(`${JSON.stringify(gapsDocument(gaps))}\n`), { mode: 0o600 });
}
