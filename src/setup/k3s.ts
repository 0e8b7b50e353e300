import { isDeepStrictEqual } from 'node:util';
import { ConfigError } from '../lib/config-error.ts';
import { type Document, isMap, parseYamlDocument } from '../lib/yaml-document.ts';
import { editYaml } from '../lib/yaml-edit.ts';
import type { ConfigFiles } from './files.ts';
import { RuntimeConfigError, type RuntimeSetup, type SetupPlan } from './runtime.ts';

const PATH = '/etc/rancher/k3s/registries.yaml';

/** @throws {RuntimeConfigError} when the file is not YAML, exceeds the bounds of every YAML file, or cannot be edited */
function refusing<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const { line, why, nextStep } = error;
    if (line !== undefined) throw new RuntimeConfigError(PATH, `line ${line}: ${why}`);
    throw new RuntimeConfigError(PATH, nextStep === undefined ? why : `${why}. ${nextStep}`);
  }
}

/** A mapping; a key without a value holds an empty one. */
function mappingOf(value: unknown, place: string): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && !Array.isArray(value)) return { ...value };
  if (value === undefined) return {};
  throw new RuntimeConfigError(PATH, `${place}holds no mapping`);
}

/** The endpoints of each registry. @throws {RuntimeConfigError} */
function readEndpoints(text: string): ReadonlyMap<string, readonly string[]> {
  const content = refusing(() => parseYamlDocument(PATH, text).toContent());
  const { mirrors } = mappingOf(content, '');
  return new Map(
    Object.entries(mappingOf(mirrors, 'mirrors ')).map(([registry, mirror]) => {
      const { endpoint } = mappingOf(mirror, `mirrors.${registry} `);
      const endpoints = endpoint ?? [];
      if (!Array.isArray(endpoints) || !endpoints.every((each) => typeof each === 'string')) {
        throw new RuntimeConfigError(PATH, `mirrors.${registry}.endpoint is not a list of URLs`);
      }
      return [registry, endpoints];
    }),
  );
}

function setEndpoints(document: Document, registry: string, endpoints: readonly string[]): void {
  for (const path of [['mirrors'], ['mirrors', registry]]) {
    if (document.getIn(path) == null) document.setIn(path, document.createNode({}));
  }
  document.setIn(['mirrors', registry, 'endpoint'], endpoints);
}

/** Removes the list of endpoints, and the maps that are empty without it. */
function removeEndpoints(document: Document, registry: string): void {
  document.deleteIn(['mirrors', registry, 'endpoint']);
  for (const path of [['mirrors', registry], ['mirrors']]) {
    const map = document.getIn(path);
    if (isMap(map) && map.items.length === 0) document.deleteIn(path);
  }
}

/** The file with other endpoints: empty when nothing is left in it. Undefined when nothing changes. */
function withEndpoints(
  text: string,
  change: (registry: string, endpoints: readonly string[]) => readonly string[],
  added: readonly string[] = [],
): string | undefined {
  const before = readEndpoints(text);
  const after = [...new Set([...before.keys(), ...added])].map((registry) => {
    const endpoints = before.get(registry) ?? [];
    return { registry, endpoints, wanted: change(registry, endpoints) };
  });
  const changed = after.filter(({ endpoints, wanted }) => !isDeepStrictEqual(endpoints, wanted));
  if (changed.length === 0) return undefined;
  let isEmpty = false;
  const edit = (document: Document): void => {
    for (const { registry, wanted } of changed) {
      if (wanted.length > 0) setEndpoints(document, registry, wanted);
      else removeEndpoints(document, registry);
    }
    isEmpty = isMap(document.contents) && document.contents.items.length === 0;
  };
  const next = refusing(() => editYaml(PATH, text, edit, { lineWidth: 0 }));
  return isEmpty ? '' : next;
}

function reloadOf(files: ConfigFiles): SetupPlan['reload'] {
  const isAgent = files.exists('/etc/systemd/system/k3s-agent.service');
  return ['systemctl', 'restart', isAgent ? 'k3s-agent' : 'k3s'];
}

function planOf(files: ConfigFiles, text: string | undefined, warnings: readonly string[]): SetupPlan {
  return text === undefined
    ? { changes: [], warnings }
    : { changes: [{ path: PATH, text }], warnings, reload: reloadOf(files) };
}

/** k3s writes containerd's hosts.toml files from registries.yaml when it starts. */
export const K3S: RuntimeSetup = {
  name: 'k3s',
  programs: ['k3s'],
  configure: (files, { url, registries, strict }, formerUrls = []) => {
    const ours = new Set([url, ...formerUrls]);
    const next = withEndpoints(
      files.read(PATH) ?? '',
      (registry, endpoints) => [
        ...(registries.includes(registry) ? [url] : []),
        ...endpoints.filter((each) => !ours.has(each)),
      ],
      registries,
    );
    const warnings = strict
      ? ['k3s falls back to the registry itself unless it runs with --disable-default-registry-endpoint']
      : [];
    return planOf(files, next, warnings);
  },
  remove: (files, urls) => {
    const next = withEndpoints(files.read(PATH) ?? '', (_, endpoints) =>
      endpoints.filter((each) => !urls.includes(each)),
    );
    return planOf(files, next, []);
  },
};
