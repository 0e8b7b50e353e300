import { join } from 'node:path';
import { ConfigError } from '../lib/config-error.ts';
import { readTextFile } from '../lib/regular-file.ts';
import { deleteKey, editYaml, setKey } from '../lib/yaml-edit.ts';
import { type Account, NAME } from './account.ts';
import { type GroupRights, readGroupsFile } from './machine-file.ts';

/** Files that may define groups. When both define a group, the last one counts. */
const FILES = ['groups.yaml', 'groups.yml'] as const;

/** @throws {ConfigError} when the text cannot name a group */
export function checkGroupName(name: string): void {
  if (NAME.test(name)) return;
  throw new ConfigError(
    'invalid-value',
    `“${name}” is not a name: it may contain letters, digits and . _ - @`,
  );
}

/** The error for a group that does not exist. */
export function missingGroup(name: string, file: string): ConfigError {
  return new ConfigError('missing', `there is no group ${name}`, { file });
}

/** Refuses to remove a group that still has members. @throws {ConfigError} when accounts are in the group */
export function refuseMembers(name: string, accounts: readonly Account[], file: string): void {
  const members = accounts.filter(({ groups }) => groups.includes(name)).map(({ user }) => user);
  if (members.length === 0) return;
  const named = `${members.slice(0, 5).join(', ')}${members.length > 5 ? ' and others' : ''}`;
  throw new ConfigError('in-use', `the group ${name} still has members: ${named}`, { file });
}

async function readIfPresent(file: string): Promise<string | undefined> {
  try {
    return await readTextFile(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * Finds the file that defines the group, or the file to add it to. `source` is undefined when that file does
 * not exist yet.
 */
export async function groupsFileFor(
  name: string,
  folder: string,
): Promise<{ readonly file: string; readonly source: string | undefined }> {
  const files = await Promise.all(
    FILES.map(async (base) => {
      const file = join(folder, base);
      const source = await readIfPresent(file);
      return { file, source, groups: source === undefined ? undefined : readGroupsFile(source, file) };
    }),
  );
  const [first] = files;
  const holders = files.filter(({ groups }) => groups?.has(name));
  const found = holders.at(-1) ?? files.find(({ source }) => source !== undefined) ?? first;
  if (holders.length > 1 || found === undefined) {
    const why = `${FILES.join(' and ')} both define the group ${name}: remove it from one of them`;
    throw new ConfigError('exists', why, { file: folder });
  }
  return { file: found.file, source: found.source };
}

/** Sets the rights of a group. Keeps the comments of the others. */
export function withGroup(source: string, name: string, rights: GroupRights, file: string): string {
  const { repositories, push } = rights;
  const value = {
    ...(repositories.length === 0 ? {} : { repositories }),
    ...(push.length === 0 ? {} : { push }),
  };
  return editYaml(file, source, (document) => setKey(document, name, value));
}

/**
 * Removes a group. @throws {ConfigError} when there is no such group, or when another group uses a YAML
 * anchor in it
 */
export function withoutGroup(source: string, name: string, file: string): string {
  return editYaml(file, source, (document) => {
    if (!deleteKey(document, name)) throw missingGroup(name, file);
  });
}
