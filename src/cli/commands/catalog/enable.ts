import { dirname } from 'node:path';
import { makeDirectory } from '../../../lib/atomic-file.ts';
import { whyUnwritable } from '../../../lib/config-error.ts';
import { writeConfigFile } from '../../../lib/config-file.ts';
import { readSource } from '../../../lib/config-source.ts';
import { readTextFile } from '../../../lib/regular-file.ts';
import { openCatalog } from '../../settings/catalog.ts';
import { writablePath } from '../../settings/file.ts';
import { TextList } from '../../settings/values.ts';
import { parseYaml } from '../../settings/yaml.ts';
import { UserError } from '../../user-error.ts';

/**
 * Returns the setting `catalog` with these names enabled or disabled. `!name` also disables the baselines of
 * the entry.
 */
function changed(
  before: readonly string[],
  verb: 'enable' | 'disable',
  names: readonly string[],
  hasBaselines: (name: string) => boolean,
): readonly string[] {
  const others = before.filter((name) => !names.includes(name.replace(/^!/, '')));
  const added = verb === 'enable' ? names : names.filter(hasBaselines).map((name) => `!${name}`);
  return [...others, ...added];
}

async function readOrEmpty(path: string): Promise<string> {
  try {
    return await readTextFile(path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw unwritable(path, cause);
  }
}

function unwritable(path: string, cause: unknown): UserError {
  return new UserError(`cannot change ${path}: ${whyUnwritable(cause)}`, {
    cause,
    nextStep: 'Run it as root (sudo), or name a file with --config FILE.',
  });
}

/**
 * Changes the setting `catalog` in the configuration file. Keeps everything else, comments included.
 * @throws {UserError} for a name that the catalogue does not have, and when the file cannot be changed.
 */
export async function changeCatalog(
  verb: 'enable' | 'disable',
  names: readonly string[],
  flags: Readonly<Record<string, unknown>>,
): Promise<string> {
  const catalog = await openCatalog();
  const entries = new Map(
    await Promise.all(names.map(async (name) => [name, await catalog.entry(name)] as const)),
  );
  const path = await writablePath(flags['config']);
  const text = await readOrEmpty(path);
  const { content, placeOf } = await parseYaml(path, text);
  const { catalog: written } = (content ?? {}) as { readonly catalog?: unknown };
  const { isSeq } = await import('../../../lib/yaml-document.ts');
  const { editYaml } = await import('../../../lib/yaml-edit.ts');
  const before = { file: path, content: written ?? [], placeOf: () => placeOf(['catalog']) };
  const after = changed(
    readSource(TextList, before, { path: ['catalog'] }),
    verb,
    names,
    (name) => (entries.get(name)?.baselines.length ?? 0) > 0,
  );
  const edited = editYaml(path, text, (document) => {
    const node = document.get('catalog');
    document.set('catalog', document.createNode(after, { flow: isSeq(node) ? node.flow === true : true }));
  });
  try {
    await makeDirectory(dirname(path), 0o755);
    await writeConfigFile(path, edited, { mode: 0o644 });
  } catch (cause) {
    throw unwritable(path, cause);
  }
  return `${path}: catalog: [${after.join(', ')}]\nsystemctl reload metahub makes a running mirror read it.\n`;
}
