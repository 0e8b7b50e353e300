import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeDirectory, replaceFile } from '../lib/atomic-file.ts';
import type { Gap } from './gap-schema.ts';

/** What was pulled and could have fitted better, of a mirror's last run: `<data>/gaps.json`. */
function fileIn(data: string): string {
  return join(data, 'gaps.json');
}

/** A file that is missing holds nothing. @throws {Error} it cannot be read, or is of another form */
export async function readGaps(data: string): Promise<readonly Gap[]> {
  let text: string;
  try {
    text = await readFile(fileIn(data), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  const { parseGaps } = await import('./gap-schema.ts');
  return parseGaps(JSON.parse(text));
}

/** The document of the file and of the API. */
export function gapsDocument(gaps: readonly Gap[]): object {
  return { version: 1, gaps };
}

/** Replaces the file as a whole. It names images, so only its owner reads it. */
export async function writeGaps(data: string, gaps: readonly Gap[]): Promise<void> {
  await makeDirectory(data, 0o755);
  await replaceFile(fileIn(data), Buffer.from(`${JSON.stringify(gapsDocument(gaps))}\n`), { mode: 0o600 });
}
