import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Owner, type ReplaceOptions, replaceFile } from './atomic-file.ts';
import { type LinkRule, resolveBelow } from './link-path.ts';
import { NotRegularFileError } from './regular-file.ts';

export interface ConfigFileOptions extends Pick<ReplaceOptions, 'beforeMove'> {
  /** Permission bits of a new file; an existing one keeps its own. */
  readonly mode: number;
  /** Takes from an existing file the bits that `mode` lacks. */
  readonly isSecret?: boolean;
  /** The user and group of a new file, where root writes for others. */
  readonly owner?: Owner | undefined;
  /** Which links are followed; by default all. */
  readonly mayFollow?: LinkRule;
}

/**
 * Replaces a file that a person may have made, linked or given to somebody: the file that the path leads to gets the
 * text, and keeps its mode and owner; a link stays a link. The new text survives a loss of power once this resolves.
 * @throws NotRegularFileError, {@link ForeignLinkError}
 */
export async function writeConfigFile(
  path: string,
  text: string,
  { mode, isSecret = false, owner, mayFollow, beforeMove }: ConfigFileOptions,
): Promise<void> {
  const former = statSync(path, { throwIfNoEntry: false });
  if (former?.isFile() === false) throw new NotRegularFileError(path);
  const bits = former === undefined ? mode : former.mode & 0o7777;
  await replaceFile(resolveBelow('/', resolve(path), mayFollow), Buffer.from(text), {
    mode: isSecret ? bits & mode : bits,
    // Only root may give a file away.
    ...(process.getuid?.() === 0 && { owner: former ?? owner }),
    durable: true,
    ...(beforeMove && { beforeMove }),
  });
}
