import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { TEST_REPOSITORY } from '../../../mirror/connection-tests.ts';
import type { ConfigFiles } from '../../../setup/files.ts';
import type { MirrorTarget, RuntimeSetup, RuntimeSetupName } from '../../../setup/runtime.ts';
import { planInForce } from '../../../setup/runtimes.ts';
import { fetchStatus } from '../../mirror-status.ts';
import { type Check, type CheckResult, fail, pass, warn } from './check.ts';
import { pullByCri } from './cri.ts';
import { type Daemon, daemonTrouble } from './daemon.ts';

const POLL_MS = 200;
const PROBE_MS = 10_000;
/** Time for a client to end itself, in milliseconds. Killed, it would leave its temporary files behind. */
const GRACE_MS = 5000;

type Command = readonly [program: string, ...args: string[]];

/** How a runtime looks up a tag. */
interface Lookup {
  /** Undefined: the runtime has no daemon, or none at the usual place of this machine. */
  readonly daemon?: Daemon | undefined;
  /** True when the daemon has the Container Runtime Interface, by which the kubelet pulls. */
  readonly hasCri?: boolean;
  /** Without a daemon: a command that succeeds when this user can run the runtime at all. */
  readonly probe?: Command;
  /** Clients to use when there is no such interface. The first installed one pulls. */
  readonly commands: (image: string) => readonly Command[];
}

const lookupsIn = (environment: NodeJS.ProcessEnv): Readonly<Record<RuntimeSetupName, Lookup>> => ({
  docker: {
    daemon:
      environment['DOCKER_HOST'] === undefined
        ? { socket: '/var/run/docker.sock', unit: 'docker', reread: 'reload' }
        : undefined,
    commands: (image) => [['docker', 'pull', '--quiet', image]],
  },
  containerd: {
    daemon: {
      socket: environment['CONTAINERD_ADDRESS'] ?? '/run/containerd/containerd.sock',
      unit: 'containerd',
      reread: 'restart',
    },
    hasCri: true,
    commands: (image) => [['ctr', 'images', 'pull', '--hosts-dir', '/etc/containerd/certs.d', image]],
  },
  podman: {
    probe: ['podman', 'info'],
    commands: (image) => [['podman', 'pull', '--quiet', image]],
  },
  'cri-o': {
    daemon: { socket: '/run/crio/crio.sock', unit: 'crio', reread: 'reload' },
    hasCri: true,
    commands: () => [],
  },
  k3s: {
    daemon: { socket: '/run/k3s/containerd/containerd.sock', unit: 'k3s', reread: 'restart' },
    hasCri: true,
    commands: () => [],
  },
  apptainer: {
    commands: (image) => {
      // In the folder in which it runs.
      const file = 'test.sif';
      return [
        ['apptainer', 'pull', '--disable-cache', file, `docker://${image}`],
        ['singularity', 'pull', '--disable-cache', file, `docker://${image}`],
      ];
    },
  },
});

export interface RuntimeChecksOptions {
  readonly files: ConfigFiles;
  readonly target: MirrorTarget;
  /** Returns the command that configures a runtime. */
  readonly setup: (runtime: RuntimeSetupName) => string;
}

/** Checks that the runtime's files are as setup would write them. */
function configuredCheck(runtime: RuntimeSetup, { files, target, setup }: RuntimeChecksOptions): Check {
  const remedy = `Run: ${setup(runtime.name)}`;
  return {
    name: `${runtime.name}: configured`,
    run: async () => {
      const fitting = planInForce(runtime, files, target);
      if (fitting === undefined) {
        const inFront = runtime.mirrorsInFront?.(files, target) ?? [];
        if (inFront.length > 0)
          return fail(`${runtime.name} uses ${inFront.join(', ')} before MetaHub, or instead of it`, remedy);
        const [first] = runtime.configure(files, target).changes;
        return fail(`${first?.path ?? 'its configuration'} does not name the mirror`, remedy);
      }
      const [warning] = fitting.warnings;
      return warning === undefined
        ? pass(`its configuration names ${target.url}`)
        : warn(warning, 'docs/setup.md says what this means.');
    },
  };
}

/** Returns the first command whose program is installed. */
function available(commands: readonly Command[], files: ConfigFiles): Command | undefined {
  const folders = (process.env['PATH'] ?? '/usr/bin:/usr/sbin').split(':');
  return commands.find(([program]) => folders.some((folder) => files.exists(`${folder}/${program}`)));
}

/** A look-up that is running: its client, and the client's last line of output. */
interface RunningLookup {
  readonly client: () => string;
  readonly ended: Promise<string>;
}

function startLookup(
  { daemon, hasCri = false, commands }: Lookup,
  image: string,
  files: ConfigFiles,
  signal: AbortSignal,
): RunningLookup | undefined {
  const command = available(commands(image), files);
  const socket = hasCri ? daemon?.socket : undefined;
  if (socket === undefined && command === undefined) return undefined;
  let client = command?.[0] ?? '';
  async function ask(): Promise<string> {
    if (socket !== undefined) {
      const own = client;
      client = 'CRI, the kubelet’s way,';
      const pull = await pullByCri(socket, image, signal);
      if (pull.kind === 'failed') return pull.message;
      if (pull.kind === 'pulled') return '';
      client = own;
    }
    return command === undefined ? 'it has no CRI' : await runQuietly(command, signal);
  }
  return { client: () => client, ended: ask() };
}

/** Returns the result when the runtime cannot be asked, for example by this user; undefined when it can. */
export async function unreachable(name: RuntimeSetupName): Promise<CheckResult | undefined> {
  const { daemon, probe } = lookupsIn(process.env)[name];
  const problem = probe && (await problemOf(probe));
  if (problem !== undefined) {
    const why = `${name} does not run${process.getuid?.() === 0 ? '' : ' for this user'}: ${problem}`;
    return warn(why, process.getuid?.() === 0 ? `See: ${probe?.join(' ')}` : 'Run: sudo metahub doctor');
  }
  const trouble = daemon && (await daemonTrouble(daemon));
  if (trouble === 'stopped')
    return fail(
      `${name} does not run: nothing listens on ${daemon?.socket}`,
      `Run: systemctl start ${daemon?.unit}`,
    );
  if (trouble === 'forbidden')
    return warn(`this user may not ask ${name} at ${daemon?.socket}`, 'Run: sudo metahub doctor');
  return undefined;
}

/**
 * Returns what to do about pulls that do not arrive: a daemon may not have read the files that `setup` wrote, and a site
 * turns away a runtime without a login.
 */
function remedyFor(
  runtime: RuntimeSetup,
  { files, target, setup }: RuntimeChecksOptions,
  isSite: boolean,
): string {
  const { daemon } = lookupsIn(process.env)[runtime.name];
  const isConfigured = planInForce(runtime, files, target) !== undefined;
  if (isConfigured && isSite) {
    return `The mirror is a site, where ${runtime.name} needs a login. For docker, podman and skopeo: metahub login ${target.url} --user ACCOUNT`;
  }
  const command = isConfigured && daemon ? `systemctl ${daemon.reread} ${daemon.unit}` : setup(runtime.name);
  return `Run: ${command}; docs/setup.md says what else keeps a runtime from its mirror.`;
}

/**
 * Checks that a pull by this runtime arrives at the mirror. The configuration only says so; a request proves
 * it.
 */
function usesMirrorCheck(runtime: RuntimeSetup, options: RuntimeChecksOptions): Check {
  const { name } = runtime;
  const {
    files,
    target: { url },
  } = options;
  return {
    name: `${name}: uses the mirror`,
    run: async (signal) => {
      const tag = `t${randomBytes(8).toString('hex')}`;
      const image = `docker.io/${TEST_REPOSITORY}:${tag}`;
      const stop = new AbortController();
      const lookup = startLookup(
        lookupsIn(process.env)[name],
        image,
        files,
        AbortSignal.any([signal, stop.signal]),
      );
      if (lookup === undefined) {
        return warn(
          'no client that could test it is installed',
          'Pull an image by a tag, and look at metahub status.',
        );
      }
      const { client, ended } = lookup;
      const cameThrough = async () =>
        (await fetchStatus(url, signal)).connectionTests?.includes(tag) === true;
      try {
        for (let isOver = false; ; ) {
          if (await cameThrough()) return pass(`a pull by ${client()} arrived at the mirror`);
          if (isOver) break;
          isOver = await Promise.race([ended.then(() => true), delay(POLL_MS, false, { signal })]);
        }
        const output = await ended;
        const why = `a pull of ${image} by ${client()} did not arrive at the mirror${output === '' ? '' : `: ${output}`}`;
        const { sitePath } = await fetchStatus(url, signal);
        return (await unreachable(name)) ?? fail(why, remedyFor(runtime, options, sitePath !== undefined));
      } finally {
        await Promise.race([ended, delay(GRACE_MS, undefined, { ref: false })]);
        stop.abort();
      }
    },
  };
}

/** Resolves to the last line of output when the program fails; undefined when it succeeds. */
async function problemOf([program, ...args]: Command): Promise<string | undefined> {
  try {
    await promisify(execFile)(program, args, { timeout: PROBE_MS });
    return undefined;
  } catch (error) {
    const { stderr = '', message } = error as { readonly stderr?: string; readonly message: string };
    return stderr.trim().split('\n').at(-1) || message;
  }
}

/** Resolves to the last line of output when the program ends, whatever its exit status is. */
function runQuietly([program, ...args]: Command, signal: AbortSignal): Promise<string> {
  // Of this user alone: another one could put files into a common folder for apptainer to read.
  const folder = mkdtempSync(join(tmpdir(), 'metahub-doctor-'));
  return new Promise<string>((resolve) => {
    const child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      signal,
      killSignal: 'SIGKILL',
      cwd: folder,
      // Otherwise apptainer creates a folder in the home of the user.
      env: { ...process.env, APPTAINER_CONFIGDIR: folder },
    });
    let last = '';
    const keep = (chunk: Buffer) => {
      last = `${last}${chunk.toString()}`.slice(-1000);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', () => resolve(last.trim()));
    child.on('close', () => resolve(last.trim().split('\n').at(-1) ?? ''));
  }).finally(() => rmSync(folder, { recursive: true, force: true }));
}

/** Returns two checks for each installed runtime. */
export function runtimeChecks(
  runtimes: readonly RuntimeSetup[],
  options: RuntimeChecksOptions,
): readonly Check[] {
  if (runtimes.length === 0) {
    const none: Check = {
      name: 'runtimes',
      run: async () => warn('no container runtime is installed', 'Install docker, containerd or podman.'),
    };
    return [none];
  }
  return runtimes.flatMap((runtime) => [
    configuredCheck(runtime, options),
    usesMirrorCheck(runtime, options),
  ]);
}
