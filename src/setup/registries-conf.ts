import { isJsonObject } from '../lib/json.ts';
import type { ConfigFiles } from './files.ts';
import {
  type MirrorTarget,
  RuntimeConfigError,
  type RuntimeSetup,
  type RuntimeSetupName,
  type SetupPlan,
} from './runtime.ts';
import { readToml, type TomlTable, tomlString } from './toml.ts';

const MAIN = '/etc/containers/registries.conf';
const FOLDER = '/etc/containers/registries.conf.d';
const NAME = 'metahub.conf';
const PATH = `${FOLDER}/${NAME}`;

/** An existing `[[registry]]`, and the file that contains it. */
interface RegistryEntry {
  readonly path: string;
  readonly table: TomlTable;
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function entriesOf(path: string, text: string): readonly RegistryEntry[] {
  const table = readToml(text, path);
  if (isJsonObject(table['registries'])) {
    throw new RuntimeConfigError(
      path,
      'is in the format of version 1, which has no mirrors: convert it to [[registry]] tables first',
    );
  }
  const listed: unknown = table['registry'];
  return (Array.isArray(listed) ? listed : []).map((each) => ({ path, table: each as TomlTable }));
}

/**
 * Returns the existing configuration by prefix. When several files have a prefix the last one counts, as for
 * podman.
 */
function readEntries(files: ConfigFiles): ReadonlyMap<string, RegistryEntry> {
  const dropIns = files.list(FOLDER).filter((name) => name.endsWith('.conf') && name !== NAME);
  const paths = [MAIN, ...dropIns.map((name) => `${FOLDER}/${name}`)];
  const entries = new Map<string, RegistryEntry>();
  for (const path of paths) {
    for (const entry of entriesOf(path, files.read(path) ?? '')) {
      const prefix = textOf(entry.table['prefix']) ?? textOf(entry.table['location']);
      if (prefix !== undefined) entries.set(prefix, entry);
    }
  }
  return entries;
}

function assignments(table: TomlTable, without: readonly string[]): readonly string[] {
  return Object.entries(table)
    .filter(([key, value]) => !without.includes(key) && ['string', 'boolean'].includes(typeof value))
    .map(([key, value]) => `${key} = ${typeof value === 'string' ? tomlString(value) : String(value)}`);
}

function mirrorsOf(entry: RegistryEntry | undefined): readonly TomlTable[] {
  const mirrors: unknown = entry?.table['mirror'];
  return Array.isArray(mirrors) ? (mirrors as TomlTable[]) : [];
}

/**
 * Returns the section of one registry: the mirror first, then the existing configuration, because a drop-in
 * replaces all of it.
 */
function section(registry: string, target: MirrorTarget, entry: RegistryEntry | undefined): string {
  const { host } = new URL(target.url);
  const through = `${host}/${registry}`;
  const insecure = target.url.startsWith('http:') ? ['insecure = true'] : [];
  const name = `prefix = ${tomlString(registry)}`;
  if (target.strict)
    return ['[[registry]]', name, `location = ${tomlString(through)}`, ...insecure].join('\n');
  const location = textOf(entry?.table['location']) ?? registry;
  const kept = entry ? assignments(entry.table, ['prefix', 'location']) : [];
  const mirrors = [
    ['[[registry.mirror]]', `location = ${tomlString(through)}`, ...insecure],
    ...mirrorsOf(entry).map((mirror) => ['[[registry.mirror]]', ...assignments(mirror, [])]),
  ];
  const head = ['[[registry]]', name, `location = ${tomlString(location)}`, ...kept];
  return [head, ...mirrors].map((lines) => lines.join('\n')).join('\n\n');
}

function warningsFor(registry: string, entry: RegistryEntry | undefined): readonly string[] {
  if (entry === undefined) return [];
  const digestOnly =
    entry.table['mirror-by-digest-only'] === true
      ? [
          `${entry.path} sets mirror-by-digest-only for ${registry}: tags then never reach MetaHub; remove it there`,
        ]
      : [];
  const later =
    entry.path > PATH
      ? [
          `${entry.path} is read after ${PATH} and replaces it for ${registry}: rename it or move its settings`,
        ]
      : [];
  return [...digestOnly, ...later];
}

function configure(files: ConfigFiles, target: MirrorTarget): SetupPlan {
  const entries = readEntries(files);
  const sections = target.registries.map((registry) => section(registry, target, entries.get(registry)));
  const text = [
    '# Written by metahub setup: pulls of these registries go through MetaHub. metahub setup --remove deletes this file.',
    ...sections,
  ].join('\n\n');
  const warnings = target.registries.flatMap((registry) => warningsFor(registry, entries.get(registry)));
  const next = `${text}\n`;
  return { changes: files.read(PATH) === next ? [] : [{ path: PATH, text: next }], warnings };
}

function remove(files: ConfigFiles): SetupPlan {
  return { changes: files.read(PATH) === undefined ? [] : [{ path: PATH, text: undefined }], warnings: [] };
}

function setupOf(
  name: RuntimeSetupName,
  programs: readonly string[],
  reload?: SetupPlan['reload'],
): RuntimeSetup {
  const withReload = (plan: SetupPlan): SetupPlan =>
    reload === undefined || plan.changes.length === 0 ? plan : { ...plan, reload };
  return {
    name,
    programs,
    configure: (files, target) => withReload(configure(files, target)),
    remove: (files) => withReload(remove(files)),
  };
}

/** podman, buildah and skopeo read registries.conf.d for every pull. */
export const PODMAN = setupOf('podman', ['podman', 'buildah', 'skopeo']);
/** CRI-O reads registries.conf.d when it reloads. */
export const CRI_O = setupOf('cri-o', ['crio'], ['systemctl', 'reload', 'crio']);
export const APPTAINER = setupOf('apptainer', ['apptainer', 'singularity']);
