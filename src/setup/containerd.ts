import type { ConfigFiles } from './files.ts';
import {
  type FileChange,
  type MirrorTarget,
  RuntimeConfigError,
  type RuntimeSetup,
  registryUrl,
} from './runtime.ts';
import {
  markedBlock,
  readToml,
  replacingLine,
  type TomlTable,
  tableAt,
  tomlString,
  withoutMarks,
} from './toml.ts';

const CONFIG = '/etc/containerd/config.toml';
const CERTS = '/etc/containerd/certs.d';
/** The plugin that reads `config_path`, by the version of the configuration file. */
const REGISTRY_TABLES: Readonly<Record<number, readonly (readonly string[])[]>> = {
  2: [['plugins', 'io.containerd.grpc.v1.cri', 'registry']],
  // Since containerd 2.1 the transfer service pulls images. It has a setting of its own.
  3: [
    ['plugins', 'io.containerd.cri.v1.images', 'registry'],
    ['plugins', 'io.containerd.transfer.v1.local'],
  ],
};
const RESTART = ['systemctl', 'restart', 'containerd'] as const;

interface ContainerdConfig {
  readonly text: string | undefined;
  readonly table: TomlTable;
  readonly version: number;
}

function readConfig(files: ConfigFiles): ContainerdConfig {
  const text = files.read(CONFIG);
  const table = text === undefined ? {} : readToml(text, CONFIG);
  const version = typeof table['version'] === 'number' ? table['version'] : text?.trim() ? 1 : 2;
  return { text, table, version };
}

function configPathOf(table: TomlTable, keys: readonly string[]): string {
  const value = tableAt(table, ...keys)['config_path'];
  return typeof value === 'string' ? value : '';
}

/**
 * Returns a pattern of a table's header as people write it: `[plugins."a.b".registry]`, with either kind of
 * quotes and any white space.
 */
function headerPattern(keys: readonly string[]): RegExp {
  const part = (key: string) => {
    const escaped = key.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
    return /^[\w-]+$/.test(key)
      ? `(?:${escaped}|"${escaped}"|'${escaped}')`
      : `(?:"${escaped}"|'${escaped}')`;
  };
  return new RegExp(
    `^[ \\t]*\\[[ \\t]*${keys.map(part).join('[ \\t]*\\.[ \\t]*')}[ \\t]*\\][^\\n]*\\n?`,
    'm',
  );
}

function headerOf(keys: readonly string[]): string {
  return `[${keys.map((key) => (/^[\w-]+$/.test(key) ? key : tomlString(key))).join('.')}]`;
}

/** Sets `config_path` in one table: below its header if there is one, else in a new table at the end. */
function withConfigPath(text: string, keys: readonly string[]): string {
  const line = `  config_path = ${tomlString(CERTS)}`;
  const header = headerPattern(keys).exec(text);
  if (header === null) return `${endingLine(text)}${markedBlock([headerOf(keys), line])}`;
  const empty = /^[ \t]*config_path[ \t]*=[ \t]*(?:""|'')[ \t]*\n/m;
  const end = header.index + header[0].length;
  const rest = text.slice(end);
  const nextHeader = rest.search(/^[ \t]*\[/m);
  const body = nextHeader < 0 ? rest : rest.slice(0, nextHeader);
  const present = empty.exec(body);
  if (present !== null) {
    const at = end + present.index;
    return `${text.slice(0, at)}${replacingLine(line, present[0])}\n${text.slice(at + present[0].length)}`;
  }
  return `${endingLine(text.slice(0, end))}${markedBlock([line])}${rest}`;
}

function endingLine(text: string): string {
  return text === '' || text.endsWith('\n') ? text : `${text}\n`;
}

interface CriChange {
  readonly changes: readonly FileChange[];
  readonly warnings: readonly string[];
  /** The folder that contains a folder for each registry. */
  readonly certs: string;
}

/** Makes the CRI plugin read hosts.toml files, which it does only with `config_path`. */
function ensureConfigPath(files: ConfigFiles): CriChange {
  const { text, table, version } = readConfig(files);
  const tables = REGISTRY_TABLES[version];
  const leave = (warning: string): CriChange => ({ changes: [], warnings: [warning], certs: CERTS });
  if (tables === undefined) {
    return leave(
      `${CONFIG} is of version ${version}: set config_path = "${CERTS}" for the registry there by hand, or migrate it (containerd config migrate)`,
    );
  }
  const disabled = table['disabled_plugins'];
  if (
    Array.isArray(disabled) &&
    disabled.some((name) => name === 'cri' || name === 'io.containerd.grpc.v1.cri')
  ) {
    return leave(
      `${CONFIG} disables the CRI plugin: hosts.toml is read by nerdctl and by ctr --hosts-dir ${CERTS} only`,
    );
  }
  const [registry = []] = tables;
  const set = configPathOf(table, registry);
  if (set !== '') {
    const folders = set.split(':');
    const [certs = CERTS] = folders;
    const warnings =
      folders.length > 1
        ? [
            `config_path names several directories (${set}); containerd 2.2.0 reads no mirrors then: name ${certs} alone`,
          ]
        : [];
    return { changes: [], warnings, certs };
  }
  const old = tableAt(table, ...registry, 'mirrors');
  if (Object.keys(old).length > 0) {
    return leave(
      `${CONFIG} has registry.mirrors, which containerd refuses together with config_path: move them to hosts.toml files below ${CERTS}, then run metahub setup again`,
    );
  }
  const source = text === undefined || text.trim() === '' ? markedBlock([`version = ${version}`]) : text;
  const changed = tables.reduce(
    (before, keys) => (configPathOf(table, keys) === '' ? withConfigPath(before, keys) : before),
    source,
  );
  if (configPathOf(readToml(changed, CONFIG), registry) !== CERTS) {
    return leave(
      `${CONFIG} has a form that setup cannot change: set config_path = "${CERTS}" for the registry by hand`,
    );
  }
  return { changes: [{ path: CONFIG, text: changed }], warnings: [], certs: CERTS };
}

function hostBlock(url: string): readonly string[] {
  // With `pull` alone, the request for a tag would not reach the mirror.
  return [`[host.${tomlString(url)}]`, '  capabilities = ["pull", "resolve"]'];
}

/** Returns the hosts.toml of one registry: the mirror first, then the rest of the file unchanged. */
function withMirror(
  text: string | undefined,
  registry: string,
  { url, strict }: MirrorTarget,
  path: string,
): string {
  const source = withoutMarks(text ?? '');
  const server = strict ? url : registryUrl(registry);
  if (source.trim() === '') return markedBlock([`server = ${tomlString(server)}`, '', ...hostBlock(url)]);
  const table = readToml(source, path);
  if (tableAt(table, 'host')[url] !== undefined) {
    throw new RuntimeConfigError(
      path,
      `already has a host ${url} that setup did not write: remove it, or leave the file as it is`,
    );
  }
  const hasServer = table['server'] !== undefined;
  const pinned =
    strict && hasServer
      ? source.replace(/^[ \t]*server[ \t]*=[^\n]*$/m, (line) =>
          replacingLine(`server = ${tomlString(server)}`, line),
        )
      : source;
  const firstHost = pinned.search(/^[ \t]*\[/m);
  const at = firstHost < 0 ? pinned.length : firstHost;
  const lines = [...(hasServer ? [] : [`server = ${tomlString(server)}`, '']), ...hostBlock(url)];
  return `${endingLine(pinned.slice(0, at))}${markedBlock(lines)}${pinned.slice(at)}`;
}

/** Returns the hosts.toml files with MetaHub's part, without it. */
function hostsWithoutMirror(files: ConfigFiles, certs: string): readonly FileChange[] {
  return files.listFolders(certs).flatMap((name) => {
    const path = `${certs}/${name}/hosts.toml`;
    const before = files.read(path);
    const text = before === undefined ? undefined : withoutMarks(before);
    return text === before ? [] : [{ path, text }];
  });
}

/**
 * containerd, also below Kubernetes: a hosts.toml for each registry, and the setting that makes containerd
 * read them.
 */
export const CONTAINERD: RuntimeSetup = {
  name: 'containerd',
  programs: ['containerd'],
  configure: (files, target) => {
    const { changes, warnings, certs } = ensureConfigPath(files);
    const hosts = target.registries.map((registry): FileChange => {
      const path = `${certs}/${registry}/hosts.toml`;
      return { path, text: withMirror(files.read(path), registry, target, path) };
    });
    const changed = [...changes, ...hosts].filter(({ path, text }) => files.read(path) !== text);
    const mirrored = new Set(hosts.map(({ path }) => path));
    const obsolete = hostsWithoutMirror(files, certs).filter(({ path }) => !mirrored.has(path));
    return { changes: changed, obsolete, warnings, ...(changes.length > 0 ? { reload: RESTART } : {}) };
  },
  mirrorsInFront: (files, { url, registries }) => {
    const { certs } = ensureConfigPath(files);
    const inFront = registries.flatMap((registry) => {
      const path = `${certs}/${registry}/hosts.toml`;
      const hosts = Object.keys(tableAt(readToml(files.read(path) ?? '', path), 'host'));
      const at = hosts.indexOf(url);
      return at < 0 ? hosts : hosts.slice(0, at);
    });
    return [...new Set(inFront)];
  },
  remove: (files) => {
    const text = files.read(CONFIG);
    const rest = text === undefined ? undefined : withoutMarks(text);
    const { table, version } = readConfig(files);
    const [registry = []] = REGISTRY_TABLES[version] ?? [];
    const [certs = CERTS] = configPathOf(table, registry).split(':').filter(Boolean);
    const config = text === rest ? [] : [{ path: CONFIG, text: rest }];
    return {
      changes: [...config, ...hostsWithoutMirror(files, certs)],
      warnings: [],
      ...(config.length > 0 ? { reload: RESTART } : {}),
    };
  },
};
