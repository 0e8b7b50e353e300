import type { Diagnostics, HostRoot } from './host-root.ts';

/** The operator's own files, then node-feature-discovery's. For a key in both, the first folder counts. */
const LOCAL_FEATURE_FOLDERS = [
  '/etc/metahub/features.d',
  '/etc/kubernetes/node-feature-discovery/features.d',
] as const;

/** The namespace of `metahub detect --format nfd`. Its output must not be read back as the operator's own features. */
export const NFD_NAMESPACE = 'metahub.feature.node.kubernetes.io/';

const FILE_LIMIT_BYTES = 64 * 1024;

/** The features in all files of the folders: `key=value` or `kind:value`, each key once. */
export function readLocalFeatures(root: HostRoot, now: Date, problems: Diagnostics): readonly string[] {
  const lines = new Map<string, string>();
  for (const folder of LOCAL_FEATURE_FOLDERS) {
    for (const name of root.names(folder) ?? []) {
      if (name.startsWith('.')) continue;
      const path = `${folder}/${name}`;
      const text = root.text(path) ?? '';
      if (Buffer.byteLength(text) > FILE_LIMIT_BYTES) {
        problems.warn(`${path} is larger than 64 KiB: its features are not read`);
        continue;
      }
      for (const { key, line } of parseFeatureFile(text, now, (why) => problems.warn(`${path}: ${why}`))) {
        if (!lines.has(key)) lines.set(key, line);
      }
    }
  }
  return [...lines.values()];
}

const KEY_FIRST = /^[^\s=]+\s*(?:=|$)/;

interface LocalFeature {
  readonly key: string;
  readonly line: string;
}

/**
 * Parses a feature file of node-feature-discovery: lines `key[=value]`; `# +expiry-time=RFC3339` for the lines that
 * follow, `# +no-feature` for the next line. A line `kind:value` without `=` is a feature in MetaHub's notation.
 * @see https://kubernetes-sigs.github.io/node-feature-discovery/stable/usage/customization-guide.html#input-format
 */
function parseFeatureFile(text: string, now: Date, warn: (why: string) => void): readonly LocalFeature[] {
  const features: LocalFeature[] = [];
  let hasExpired = false;
  let skipNext = false;
  for (const line of text.split('\n').map((raw) => raw.trim())) {
    const directive = /^#\s*\+([a-z-]+)(?:=(.*))?$/.exec(line);
    if (directive?.[1] === 'expiry-time') hasExpired = isPast(directive[2] ?? '', now, warn);
    else if (directive?.[1] === 'no-feature') skipNext = true;
    if (line === '' || line.startsWith('#')) continue;
    if (!hasExpired && !skipNext && !line.startsWith(NFD_NAMESPACE)) {
      if (KEY_FIRST.test(line)) features.push(parseLine(line));
      else warn(`"${line}" is not key=value: it is left out`);
    }
    skipNext = false;
  }
  return features;
}

function parseLine(line: string): LocalFeature {
  const equals = line.indexOf('=');
  if (equals > 0) return { key: line.slice(0, equals).trim(), line };
  return { key: line, line: line.includes(':') ? line : `${line}=true` };
}

function isPast(time: string, now: Date, warn: (why: string) => void): boolean {
  const expiry = Date.parse(time.trim());
  if (!Number.isNaN(expiry)) return expiry < now.getTime();
  warn(`"${time.trim()}" is not an RFC 3339 time; the features below it are kept`);
  return false;
}
