import { applyEdits, findNodeAtLocation, modify, type ParseError, parse, parseTree } from 'jsonc-parser';
import { jsonProblem } from '../lib/json-source.ts';
import type { ConfigFiles } from './files.ts';
import { type MirrorTarget, RuntimeConfigError, type RuntimeSetup, type SetupPlan } from './runtime.ts';

const PATH = '/etc/docker/daemon.json';
const KEY = 'registry-mirrors';
/**
 * Files that may contain `--registry-mirror`. With the flag and the key in daemon.json, dockerd refuses to
 * start.
 */
const FLAG_PLACES = [
  '/etc/default/docker',
  '/etc/sysconfig/docker',
  '/lib/systemd/system/docker.service',
  '/usr/lib/systemd/system/docker.service',
];
const FLAG_FOLDERS = ['/etc/systemd/system/docker.service.d', '/run/systemd/system/docker.service.d'];

type DaemonConfig = Readonly<Record<string, unknown>>;

function readDaemonConfig(text: string): {
  readonly config: DaemonConfig;
  readonly mirrors: readonly string[];
} {
  const errors: ParseError[] = [];
  const config: unknown = parse(text, errors, { disallowComments: true });
  const [error] = errors;
  if (error !== undefined) {
    const line = text.slice(0, error.offset).split('\n').length;
    throw new RuntimeConfigError(
      PATH,
      `line ${line} is not JSON (${jsonProblem(error)}): dockerd would not start with it either`,
    );
  }
  if (typeof config !== 'object' || config === null || Array.isArray(config)) {
    throw new RuntimeConfigError(PATH, 'holds no JSON object');
  }
  // dockerd uses the last of repeated keys, but an edit would change the first.
  const keys = parseTree(text)?.children?.filter(({ children }) => children?.[0]?.value === KEY) ?? [];
  if (keys.length > 1) throw new RuntimeConfigError(PATH, `has ${KEY} more than once: leave one`);
  const mirrors: unknown = (config as DaemonConfig)[KEY] ?? [];
  if (!Array.isArray(mirrors) || !mirrors.every((each) => typeof each === 'string')) {
    throw new RuntimeConfigError(PATH, `${KEY} is not a list of URLs`);
  }
  return { config: config as DaemonConfig, mirrors };
}

/** Adds `url` as the first mirror. Keeps everything else, white space included. */
function withMirror(text: string, url: string): string {
  const root = parseTree(text);
  const list = root && findNodeAtLocation(root, [KEY]);
  const [first] = list?.children ?? [];
  const insert = (at: number, inserted: string) => text.slice(0, at) + inserted + text.slice(at);
  if (list !== undefined) {
    return first === undefined
      ? text.slice(0, list.offset) + JSON.stringify([url]) + text.slice(list.offset + list.length)
      : insert(first.offset, `${JSON.stringify(url)}, `);
  }
  const property = `${JSON.stringify(KEY)}: ${JSON.stringify([url])}`;
  const last = root?.children?.at(-1);
  if (last === undefined) return `{\n  ${property}\n}\n`;
  const [, indent = '  '] = /^([ \t]+)"/m.exec(text) ?? [];
  return insert(last.offset + last.length, `,\n${indent}${property}`);
}

/** Removes `urls` from the mirrors, and the whole list when it has no other mirror. */
function withoutMirrors(text: string, mirrors: readonly string[], urls: readonly string[]): string {
  if (mirrors.length === 0) return text;
  if (mirrors.every((mirror) => isAmong(urls, mirror)))
    return applyEdits(text, modify(text, [KEY], undefined, {}));
  return mirrors.reduceRight(
    (rest, mirror, at) =>
      isAmong(urls, mirror) ? applyEdits(rest, modify(rest, [KEY, at], undefined, {})) : rest,
    text,
  );
}

function isAmong(urls: readonly string[], mirror: string): boolean {
  return urls.some((url) => isSame(url, mirror));
}

function isSame(one: string, other: string): boolean {
  return one.replace(/\/$/, '') === other.replace(/\/$/, '');
}

/** Returns the files that start dockerd with `--registry-mirror`. */
function flagPlaces(files: ConfigFiles): readonly string[] {
  const dropIns = FLAG_FOLDERS.flatMap((folder) => files.list(folder).map((name) => `${folder}/${name}`));
  return [...FLAG_PLACES, ...dropIns].filter((path) =>
    /^[^#\n]*--registry-mirror\b/m.test(files.read(path) ?? ''),
  );
}

/**
 * The unit of dockerd reloads it with /bin/kill, which a minimal system lacks. systemd can send the same
 * signal itself.
 */
function reloadOf(files: ConfigFiles): NonNullable<SetupPlan['reload']> {
  const hasKill = ['/bin/kill', '/usr/bin/kill'].some((path) => files.exists(path));
  return hasKill
    ? ['systemctl', 'reload', 'docker']
    : ['systemctl', 'kill', '--kill-who=main', '--signal=HUP', 'docker'];
}

/** dockerd: `registry-mirrors`, which applies to Docker Hub's images only. */
export const DOCKER: RuntimeSetup = {
  name: 'docker',
  programs: ['dockerd'],
  configure: (files, { url, strict }: MirrorTarget, formerUrls = []): SetupPlan => {
    const [flagPlace] = flagPlaces(files);
    if (flagPlace !== undefined) {
      throw new RuntimeConfigError(
        flagPlace,
        `starts dockerd with --registry-mirror; dockerd refuses that together with ${KEY} in ${PATH}. Remove the flag there first`,
      );
    }
    const text = files.read(PATH);
    const source = text === undefined || text.trim() === '' ? '{}\n' : text;
    const { config, mirrors } = readDaemonConfig(source);
    const others = mirrors.filter((mirror) => !isAmong(formerUrls, mirror));
    const warnings = [
      ...(strict
        ? ['dockerd falls back to Docker Hub whenever the mirror fails: no setting prevents it']
        : []),
      ...(hasContainerdStore(config) ? [CONTAINERD_STORE] : []),
      ...otherMirrorsBefore(others, url),
    ];
    if (isSame(mirrors[0] ?? '', url) && others.length === mirrors.length)
      return { changes: [], warnings, reload: reloadOf(files) };
    const next = withMirror(withoutMirrors(source, mirrors, [url, ...formerUrls]), url);
    return { changes: [{ path: PATH, text: next }], warnings, reload: reloadOf(files) };
  },
  mirrorsInFront: (files, { url }) => {
    const { mirrors } = readDaemonConfig(files.read(PATH) || '{}');
    const at = mirrors.findIndex((mirror) => isSame(mirror, url));
    return at < 0 ? mirrors : mirrors.slice(0, at);
  },
  remove: (files, urls): SetupPlan => {
    const text = files.read(PATH);
    if (text === undefined || text.trim() === '') return { changes: [], warnings: [] };
    const { mirrors } = readDaemonConfig(text);
    if (!mirrors.some((mirror) => isAmong(urls, mirror))) return { changes: [], warnings: [] };
    return {
      changes: [{ path: PATH, text: withoutMirrors(text, mirrors, urls) }],
      warnings: [],
      reload: reloadOf(files),
    };
  },
};

const CONTAINERD_STORE =
  'dockerd uses the containerd image store: it sends no login to mirrors, so private images come from the mirror only with a login stored for the mirror';

function hasContainerdStore(config: DaemonConfig): boolean {
  const features = config['features'];
  return (
    typeof features === 'object' &&
    features !== null &&
    (features as DaemonConfig)['containerd-snapshotter'] === true
  );
}

function otherMirrorsBefore(mirrors: readonly string[], url: string): readonly string[] {
  const others = mirrors.filter((mirror) => !isSame(mirror, url));
  if (others.length === 0) return [];
  return [
    `dockerd asks ${others.join(', ')} after MetaHub; to make MetaHub fetch through it, add it as an upstream (metahub serve --upstream docker.io=URL)`,
  ];
}
