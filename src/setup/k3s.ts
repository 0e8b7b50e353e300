import { ConfigError } from '../lib/config-error.ts';
import { type Document, isMap, isSeq, parseYamlDocument } from '../lib/yaml-document.ts';
import type { ConfigFiles } from './files.ts';
import { RuntimeConfigError, type RuntimeSetup, type SetupPlan } from './runtime.ts';

const PATH = '/etc/rancher/k3s/registries.yaml';

/** @throws {RuntimeConfigError} when the text is not YAML, or exceeds the bounds of every YAML file */
function readDocument(text: string): { readonly document: Document; readonly content: unknown } {
  try {
    const { document, toContent } = parseYamlDocument(PATH, text);
    return { document, content: toContent() };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new RuntimeConfigError(PATH, `line ${error.line ?? 1}: ${error.why}`);
  }
}

function readRegistries(text: string) {
  const { document, content } = readDocument(text);
  if (document.contents !== null && !isMap(document.contents))
    throw new RuntimeConfigError(PATH, 'holds no mapping');
  return { document, content };
}

function endpointsOf(document: Document, registry: string): readonly string[] {
  const endpoints = document.getIn(['mirrors', registry, 'endpoint']);
  if (endpoints === undefined) return [];
  const list: unknown = isSeq(endpoints) ? endpoints.toJSON() : endpoints;
  if (!Array.isArray(list) || !list.every((each) => typeof each === 'string')) {
    throw new RuntimeConfigError(PATH, `mirrors.${registry}.endpoint is not a list of URLs`);
  }
  return list;
}

function reloadOf(files: ConfigFiles): SetupPlan['reload'] {
  const isAgent = files.exists('/etc/systemd/system/k3s-agent.service');
  return ['systemctl', 'restart', isAgent ? 'k3s-agent' : 'k3s'];
}

/** k3s writes containerd's hosts.toml files from registries.yaml when it starts. */
export const K3S: RuntimeSetup = {
  name: 'k3s',
  programs: ['k3s'],
  configure: (files, { url, registries, strict }, formerUrls = []) => {
    const ours = new Set([url, ...formerUrls]);
    const text = files.read(PATH) ?? '';
    const { document, content } = readRegistries(text);
    removeEndpoints(document, (registry, each) => ours.has(each) && !registries.includes(registry));
    for (const registry of registries) {
      const endpoints = endpointsOf(document, registry);
      const wanted = [url, ...endpoints.filter((each) => !ours.has(each))];
      if (endpoints[0] === url && endpoints.length === wanted.length) continue;
      document.setIn(['mirrors', registry, 'endpoint'], wanted);
    }
    const next = document.toString({ lineWidth: 0 });
    const isSame = JSON.stringify(document.toJSON()) === JSON.stringify(content);
    const warnings = strict
      ? ['k3s falls back to the registry itself unless it runs with --disable-default-registry-endpoint']
      : [];
    return isSame
      ? { changes: [], warnings }
      : { changes: [{ path: PATH, text: next }], warnings, reload: reloadOf(files) };
  },
  remove: (files, urls) => {
    const text = files.read(PATH);
    if (text === undefined) return { changes: [], warnings: [] };
    const { document } = readRegistries(text);
    if (!removeEndpoints(document, (_, each) => urls.includes(each))) return { changes: [], warnings: [] };
    const isEmpty = isMap(document.contents) && document.contents.items.length === 0;
    const next = isEmpty ? '' : document.toString({ lineWidth: 0 });
    return { changes: [{ path: PATH, text: next }], warnings: [], reload: reloadOf(files) };
  },
};

/** Removes the endpoints for which `mustGo` returns true. Returns whether there were any. */
function removeEndpoints(
  document: Document,
  mustGo: (registry: string, endpoint: string) => boolean,
): boolean {
  const mirrors = document.get('mirrors');
  let isChanged = false;
  for (const registry of isMap(mirrors) ? Object.keys(mirrors.toJSON()) : []) {
    const endpoints = endpointsOf(document, registry);
    const rest = endpoints.filter((each) => !mustGo(registry, each));
    if (rest.length === endpoints.length) continue;
    isChanged = true;
    if (rest.length > 0) document.setIn(['mirrors', registry, 'endpoint'], rest);
    else removeEndpoint(document, registry);
  }
  return isChanged;
}

/** Removes the list of endpoints, and the maps that are empty without it. */
function removeEndpoint(document: Document, registry: string): void {
  document.deleteIn(['mirrors', registry, 'endpoint']);
  for (const path of [['mirrors', registry], ['mirrors']]) {
    const map = document.getIn(path);
    if (isMap(map) && map.items.length === 0) document.deleteIn(path);
  }
}
