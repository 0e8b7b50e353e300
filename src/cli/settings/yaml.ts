import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../user-error.ts';

/** One YAML file that an operator wrote. */
export interface YamlFile {
  readonly path: string;
  readonly content: unknown;
}

/** A file of an operator's that is larger is a mistake, in bytes. */
const MAX_BYTES = 1024 * 1024;

/** What a parser says before it shows the place. */
function firstLine({ message }: Error): string {
  return message.split('\n', 1)[0]?.replace(/:$/, '') ?? message;
}

/**
 * Parses a file's text.
 * @throws {UserError} status 2, naming the file.
 */
export async function parseYaml(path: string, text: string): Promise<unknown> {
  if (text.length > MAX_BYTES) {
    throw new UserError(`${path} is larger than ${MAX_BYTES} bytes`, { exitStatus: 2 });
  }
  const { parseDocument } = await import('yaml');
  const document = parseDocument(text, { prettyErrors: true });
  const [problem] = document.errors;
  try {
    if (problem) throw problem;
    return document.toJS({ maxAliasCount: 100 });
  } catch (cause) {
    throw new UserError(`${path}: ${firstLine(cause as Error)}`, {
      cause,
      nextStep: 'Mend the YAML.',
      exitStatus: 2,
    });
  }
}

/** Reads one file. @throws {UserError} status 1 when it cannot be read, 2 when it is no YAML */
export async function readYaml(path: string): Promise<YamlFile> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new UserError(`${path}: ${(cause as Error).message}`, {
      cause,
      nextStep: 'Name a file that is there and that this user may read.',
    });
  }
  return { path, content: await parseYaml(path, text) };
}

async function namesIn(folder: string, mayBeAbsent: boolean): Promise<readonly string[]> {
  try {
    const names = await readdir(folder);
    return names.filter((name) => /\.ya?ml$/.test(name) && !name.startsWith('.')).sort();
  } catch (error) {
    if (mayBeAbsent && (error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new UserError(`cannot read ${folder}: ${(error as Error).message}`, {
      cause: error,
      nextStep: 'Name a folder that this user may read.',
    });
  }
}

/**
 * The YAML files of a folder, in the order of their names; hidden ones and other files are skipped. A folder that is only
 * a default need not exist.
 * @throws {UserError}
 */
export async function readYamlFolder(
  folder: string,
  { mayBeAbsent }: { readonly mayBeAbsent: boolean },
): Promise<readonly YamlFile[]> {
  const names = await namesIn(folder, mayBeAbsent);
  return Promise.all(names.map((name) => readYaml(join(folder, name))));
}
