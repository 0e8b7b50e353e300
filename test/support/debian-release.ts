import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { attempt, type Programs, run, type ServerOptions, startServer } from './processes.ts';

/** A release of Debian, and the packages to use. */
export interface ReleasePlan {
  readonly name: string;
  /** Suites to read packages from; the last one is preferred. */
  readonly suites: readonly string[];
  readonly packages: readonly string[];
  /** Its programs find only cgroups version 2, without controllers, whatever this machine has. */
  readonly hasBareCgroups2?: boolean;
}

/** Packages of another release with all their dependencies, unpacked below a cache directory and not installed. */
export interface DebianRelease {
  /** The packages that the release has, with their versions. */
  readonly versions: ReadonlyMap<string, string>;
  readonly programs: Programs;
  /** The directory that is the root for its programs. */
  readonly tree: string;
}

export const DEBIAN_RELEASE = ['root', 'apt-get', 'dpkg', 'unshare', 'pivot_root'];

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
const ARCHIVE = process.env['METAHUB_DEBIAN_ARCHIVE'] ?? 'http://deb.debian.org/debian';

/** The directory in which unpacked releases are kept between runs. */
function cacheFolder(): string {
  const base = process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache');
  return join(base, 'metahub-runtimes');
}

/** The archive did not deliver a release, and nothing of it is unpacked: no fault of what is tested. */
export class ReleaseUnavailableError extends Error {
  override readonly name = 'ReleaseUnavailableError';
}

/** Runs an apt-get that reads from the archive. */
async function fromArchive(args: readonly string[], timeoutMs?: number): Promise<void> {
  const { status, stderr } = await attempt('apt-get', args, timeoutMs === undefined ? {} : { timeoutMs });
  const reason = stderr.split('\n').findLast((line) => line.trim() !== '') ?? `apt-get ended with ${status}`;
  if (status !== 0) throw new ReleaseUnavailableError(reason);
}

/** Options with which apt uses this release and ignores installed packages. */
function aptOptions(folder: string, { suites }: ReleasePlan): readonly string[] {
  mkdirSync(join(folder, 'lists', 'partial'), { recursive: true });
  mkdirSync(join(folder, 'cache', 'archives', 'partial'), { recursive: true });
  const sources = suites.map((suite) => `deb [signed-by=${KEYRING}] ${ARCHIVE} ${suite} main\n`);
  writeFileSync(join(folder, 'sources.list'), sources.join(''));
  writeFileSync(join(folder, 'status'), '');
  const settings = {
    'Dir::Etc::SourceList': join(folder, 'sources.list'),
    'Dir::Etc::SourceParts': '/dev/null',
    'Dir::Etc::Preferences': '/dev/null',
    'Dir::Etc::PreferencesParts': '/dev/null',
    'Dir::State': folder,
    'Dir::State::status': join(folder, 'status'),
    'Dir::Cache': join(folder, 'cache'),
    'APT::Default-Release': suites.at(-1) ?? '',
    'APT::Install-Recommends': 'false',
    'APT::Sandbox::User': 'root',
    // A release in development changes while it is read, and its mirror may be outdated. apt waits longer
    // before each retry, up to half a minute.
    'Acquire::Retries': '8',
    'Acquire::Check-Valid-Until': 'false',
  };
  return Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
}

/** The version that apt would install of each package that the release has. */
async function candidates(apt: readonly string[], { packages }: ReleasePlan): Promise<Map<string, string>> {
  const versions = new Map<string, string>();
  for (const name of packages) {
    const policy = await run('apt-cache', [...apt, 'policy', name]);
    const version = /^ {2}Candidate: (?!\(none\))(\S+)/m.exec(policy)?.[1];
    if (version !== undefined) versions.set(name, version);
  }
  return versions;
}

/**
 * Every process in the tree has its own mounts, so that none of them remains when it ends. apptainer cannot run in
 * a chroot.
 */
const ENTER = `tree=$1; shift
mount --make-rprivate /
mount --bind "$tree" "$tree"
for shared in /proc /sys /dev "$1"; do mkdir -p "$tree$shared"; mount --rbind "$shared" "$tree$shared"; done
shift
mkdir -p "$tree/run"; mount -t tmpfs tmpfs "$tree/run"
if [ "$1" = bare-cgroups2 ]; then shift; mount -t cgroup2 cgroup2 "$tree/sys/fs/cgroup"; fi
export HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mkdir -p "$tree/.outside"
cd "$tree"
pivot_root . .outside
exec "$@"
`;

function programsIn(folder: string, tree: string, { hasBareCgroups2 }: ReleasePlan): Programs {
  const script = join(folder, 'enter.sh');
  writeFileSync(script, ENTER);
  const fixed = [tree, tmpdir(), ...(hasBareCgroups2 ? ['bare-cgroups2'] : [])];
  const enter = (command: string, args: readonly string[]) =>
    ['unshare', ['--mount', '/bin/sh', script, ...fixed, command, ...args]] as const;
  return {
    attempt: (command, args, options) => attempt(...enter(command, args), options),
    run: (command, args, options) => run(...enter(command, args), options),
    startServer(options: ServerOptions) {
      const [command, args] = enter(options.command, options.args);
      return startServer({ ...options, command, args });
    },
  };
}

async function unpack(tree: string, archives: readonly string[]): Promise<void> {
  rmSync(tree, { recursive: true, force: true });
  mkdirSync(tree, { recursive: true });
  for (const archive of archives) await run('dpkg', ['--extract', archive, tree]);
  mkdirSync(join(tree, 'etc'), { recursive: true });
  for (const name of ['hosts', 'passwd', 'group', 'nsswitch.conf']) {
    if (existsSync(`/etc/${name}`)) copyFileSync(`/etc/${name}`, join(tree, 'etc', name));
  }
}

/** The directory of an unpacked release, and the record of its packages. */
interface ReleasePlace {
  readonly folder: string;
  readonly tree: string;
  readonly record: string;
}

/**
 * Unpacks the archive's current packages unless they are unpacked already. @throws when the archive does not
 * deliver them
 */
async function fetchRelease({ folder, tree, record }: ReleasePlace, plan: ReleasePlan): Promise<string> {
  const apt = aptOptions(folder, plan);
  await fromArchive([...apt, '--quiet', '--quiet', '--error-on=any', 'update']);
  const versions = await candidates(apt, plan);
  // Without base-files a tree lacks the links of a merged /usr.
  const install = [...apt, '--quiet', '--quiet', '--yes', 'install', 'base-files', ...versions.keys()];
  const wanted = (await run('apt-get', [...install, '--print-uris', '--download-only']))
    .split('\n')
    .map((line) => line.split(' ')[1])
    .filter((name) => name?.endsWith('.deb'));
  const unpacked = JSON.stringify([...versions]);
  // apt lists the missing packages; the others are in the cache already.
  if (wanted.length === 0 && existsSync(record) && readFileSync(record, 'utf8') === unpacked) return unpacked;
  await run('apt-get', [...apt, 'clean']);
  await fromArchive([...install, '--download-only'], 600_000);
  const archives = join(folder, 'cache', 'archives');
  const found = await run('find', [archives, '-maxdepth', '1', '-name', '*.deb']);
  rmSync(record, { force: true });
  await unpack(
    tree,
    found.split('\n').filter((path) => basename(path) !== ''),
  );
  writeFileSync(record, unpacked);
  return unpacked;
}

/**
 * Fetches the packages that the release has, unless they are unpacked already.
 * @throws ReleaseUnavailableError when the archive does not deliver them and nothing is unpacked
 */
export async function openDebianRelease(plan: ReleasePlan): Promise<DebianRelease> {
  const folder = join(cacheFolder(), plan.name);
  const place = { folder, tree: join(folder, 'tree'), record: join(folder, 'unpacked.json') };
  const unpacked = await fetchRelease(place, plan)
    // The archive may have replaced packages since it sent its index.
    .catch(() => fetchRelease(place, plan))
    .catch((error: unknown) => {
      if (existsSync(place.record)) return readFileSync(place.record, 'utf8');
      throw error;
    });
  const versions = new Map(JSON.parse(unpacked) as readonly (readonly [string, string])[]);
  return { versions, programs: programsIn(folder, place.tree, plan), tree: place.tree };
}
