import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { TEST_REPOSITORY } from '../../../mirror/connection-tests.ts';
import type { ConfigFiles } from '../../../setup/files.ts';
import type { MirrorTarget, RuntimeSetup, RuntimeSetupName } from '../../../setup/runtime.ts';
import { planInForce } from '../../../setup/runtimes.ts';
import { fetchStatus } from '../../mirror-status.ts';
import { type Check, fail, pass, warn } from './check.ts';

const POLL_MS = 200;
/** A client that is killed leaves its temporary files: it gets this time to end by itself, in milliseconds. */
const GRACE_MS = 5000;

type Command = readonly [program: string, ...args: string[]];

/** How each runtime is made to look a tag up; the first whose program is installed. */
const PULLS: Readonly<Record<RuntimeSetupName, (image: string) => readonly Command[]>> = {
  docker: (image) => [['docker', 'pull', '--quiet', image]],
  containerd: (image) => [
    ['crictl', 'pull', image],
    ['ctr', 'images', 'pull', '--hosts-dir', '/etc/containerd/certs.d', image],
  ],
  podman: (image) => [['podman', 'pull', '--quiet', image]],
  'cri-o': (image) => [['crictl', 'pull', image]],
  k3s: (image) => [['k3s', 'crictl', 'pull', image]],
  apptainer: () => [],
};

/** Are the runtime's files as setup would write them? */
function configuredCheck(runtime: RuntimeSetup, files: ConfigFiles, target: MirrorTarget): Check {
  const remedy = `Run: metahub setup ${runtime.name} --reload`;
  return {
    name: `${runtime.name}: configured`,
    run: async () => {
      const fitting = planInForce(runtime, files, target);
      if (fitting === undefined) {
        const inFront = runtime.mirrorsInFront?.(files, target) ?? [];
        if (inFront.length > 0)
          return fail(`${runtime.name} asks ${inFront.join(', ')} before MetaHub, or in its place`, remedy);
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

/** The first command whose program is installed. */
function available(commands: readonly Command[], files: ConfigFiles): Command | undefined {
  const folders = (process.env['PATH'] ?? '/usr/bin:/usr/sbin').split(':');
  return commands.find(([program]) => folders.some((folder) => files.exists(`${folder}/${program}`)));
}

/** Does a pull by this runtime really come to the mirror? Its configuration says so; only a request proves it. */
function usesMirrorCheck(runtime: RuntimeSetup, files: ConfigFiles, url: string): Check {
  return {
    name: `${runtime.name}: uses the mirror`,
    run: async (signal) => {
      const tag = `t${randomBytes(8).toString('hex')}`;
      const command = available(PULLS[runtime.name](`docker.io/${TEST_REPOSITORY}:${tag}`), files);
      if (command === undefined) {
        return warn(
          'no client that could test it is installed',
          'Install crictl, ctr, docker or podman, or pull an image and look at the status page.',
        );
      }
      const stop = new AbortController();
      const ended = runQuietly(command, AbortSignal.any([signal, stop.signal]));
      const cameThrough = async () =>
        (await fetchStatus(url, signal)).connectionTests?.includes(tag) === true;
      try {
        for (let isOver = false; ; ) {
          if (await cameThrough()) return pass(`a request of ${command[0]} came to the mirror`);
          if (isOver) break;
          isOver = await Promise.race([ended.then(() => true), delay(POLL_MS, false, { signal })]);
        }
        const { output } = await ended;
        return fail(
          `${command.join(' ')} did not come to the mirror${output === '' ? '' : `: ${output}`}`,
          `Run: metahub setup ${runtime.name} --reload; docs/setup.md says what else keeps a runtime from its mirror.`,
        );
      } finally {
        await Promise.race([ended, delay(GRACE_MS, undefined, { ref: false })]);
        stop.abort();
      }
    },
  };
}

/** Resolves when the program ends, however it ends, with the last line it printed. */
function runQuietly([program, ...args]: Command, signal: AbortSignal): Promise<{ readonly output: string }> {
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], signal, killSignal: 'SIGKILL' });
    let last = '';
    const keep = (chunk: Buffer) => {
      last = `${last}${chunk.toString()}`.slice(-1000);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', () => resolve({ output: last.trim() }));
    child.on('close', () => resolve({ output: last.trim().split('\n').at(-1) ?? '' }));
  });
}

/** Two checks for each installed runtime. */
export function runtimeChecks(
  runtimes: readonly RuntimeSetup[],
  files: ConfigFiles,
  target: MirrorTarget,
): readonly Check[] {
  if (runtimes.length === 0) {
    const none: Check = {
      name: 'runtimes',
      run: async () => warn('no container runtime is installed', 'Install docker, containerd or podman.'),
    };
    return [none];
  }
  return runtimes.flatMap((runtime) => [
    configuredCheck(runtime, files, target),
    ...(PULLS[runtime.name]('').length > 0 ? [usesMirrorCheck(runtime, files, target.url)] : []),
  ]);
}
