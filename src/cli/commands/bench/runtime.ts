import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { UserError } from '../../user-error.ts';
import type { BenchCase } from './plan.ts';

export const RUNTIMES = ['docker', 'podman', 'ctr'] as const;
export type BenchRuntimeName = (typeof RUNTIMES)[number];

/** How containers run. It is the same for every entry. */
export interface ContainerOptions {
  /** CPUs of the container, `2-5,7`; undefined: all CPUs. */
  readonly cpus: string | undefined;
  /** Additional arguments of `docker create`, `podman create` or `ctr run`. */
  readonly runtimeArgs: readonly string[];
  readonly timeoutMs: number;
}

/** The duration and the output of one run. */
export interface RunResult {
  readonly seconds: number;
  /** stdout and stderr, cut to the last {@link OUTPUT_MAX} bytes. */
  readonly output: string;
}

/** A runtime that pulls and runs images by digest. */
export interface BenchRuntime {
  readonly name: BenchRuntimeName;
  /** @throws {UserError} */
  pull(image: string, signal: AbortSignal): Promise<void>;
  /**
   * Runs the image once and removes the container.
   * @throws {RunFailure} when the exit status is not 0, or the run takes too long
   */
  run(image: string, one: BenchCase, options: ContainerOptions, signal: AbortSignal): Promise<RunResult>;
}

/** A failed run. The benchmark continues with the other entries. */
export class RunFailure extends Error {
  override readonly name = 'RunFailure';
}

const OUTPUT_MAX = 1 << 20;
/** Time limit for removing the container of a client that was killed, in milliseconds. */
const CLEANUP_MS = 30_000;

interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
  readonly seconds: number;
}

/** Runs a program to its end, with an empty stdin. Rejects when it cannot be started or the signal aborts. */
function execute(program: string, args: readonly string[], signal: AbortSignal): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const startMs = performance.now();
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], signal, killSignal: 'SIGKILL' });
    let output = '';
    const keep = (chunk: string) => {
      output = (output + chunk).slice(-OUTPUT_MAX);
    };
    child.stdout.setEncoding('utf8').on('data', keep);
    child.stderr.setEncoding('utf8').on('data', keep);
    child.on('error', reject);
    child.on('close', (status, endSignal) => {
      const seconds = (performance.now() - startMs) / 1000;
      resolve({ status, signal: endSignal, output, seconds });
    });
  });
}

function lastLine(output: string): string {
  return output.trim().split('\n').at(-1) ?? '';
}

async function mustSucceed(program: string, args: readonly string[], signal: AbortSignal): Promise<string> {
  const { status, output } = await execute(program, args, signal);
  if (status === 0) return output;
  throw new UserError(`${program} ${args[0]} failed: ${lastLine(output)}`, {
    nextStep: `Try it by hand: ${program} ${args.join(' ')}`,
  });
}

/**
 * 128 plus the number of SIGILL: the exit status that shells and runtimes report when that signal ends a
 * program.
 */
const SIGILL_STATUS = 132;

function failedRun(status: number | null, output: string): RunFailure {
  const hint = status === SIGILL_STATUS ? ' (an instruction that this CPU does not have)' : '';
  const said = lastLine(output);
  return new RunFailure(`exit status ${status}${hint}${said === '' ? '' : `: ${said.slice(0, 200)}`}`);
}

function environmentArgs({ environment }: BenchCase): readonly string[] {
  return Object.entries(environment).flatMap(([name, value]) => ['--env', `${name}=${value}`]);
}

/** Runs `use` under a time limit. A run that exceeds it fails; an interrupt ends the whole benchmark. */
async function limited<T>(
  { timeoutMs }: ContainerOptions,
  signal: AbortSignal,
  use: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const limit = AbortSignal.timeout(timeoutMs);
  try {
    return await use(AbortSignal.any([signal, limit]));
  } catch (error) {
    if (limit.aborted && !signal.aborted) throw new RunFailure(`it ran longer than ${timeoutMs / 1000} s`);
    throw error;
  }
}

let containers = 0;
function containerName(): string {
  containers += 1;
  return `metahub-bench-${process.pid}-${containers}`;
}

/**
 * `docker` and `podman` have the same options. The time is the container's own, without that of the client
 * and of setting up the container.
 */
function dockerLike(name: 'docker' | 'podman'): BenchRuntime {
  const remove = (container: string) =>
    execute(name, ['rm', '--force', container], AbortSignal.timeout(CLEANUP_MS)).catch(() => undefined);
  return {
    name,
    pull: async (image, signal) => void (await mustSucceed(name, ['pull', '--quiet', image], signal)),
    async run(image, one, options, signal) {
      const container = containerName();
      const { cpus, runtimeArgs } = options;
      const pinned = cpus === undefined ? [] : ['--cpuset-cpus', cpus];
      const settings = ['--name', container, ...pinned, ...environmentArgs(one), ...runtimeArgs];
      try {
        await mustSucceed(name, ['create', ...settings, image, ...one.args], signal);
        const { status, output } = await limited(options, signal, (within) =>
          execute(name, ['start', '--attach', container], within),
        );
        if (status !== 0) throw failedRun(status, output);
        const format = '[{{json .State.StartedAt}},{{json .State.FinishedAt}}]';
        const state = await mustSucceed(name, ['inspect', '--format', format, container], signal);
        return { seconds: secondsBetween(state), output };
      } finally {
        await remove(container);
      }
    },
  };
}

/**
 * Returns the seconds between two times, `["2026-11-26T18:00:00.123456789Z", ...]`, in the runtime's full
 * precision.
 */
export function secondsBetween(state: string): number {
  const [from, to] = (JSON.parse(state) as readonly string[]).map((time) => {
    const fraction = Number(`0${/\.\d+/.exec(time)?.[0] ?? ''}`);
    return { whole: Date.parse(time.replace(/\.\d+/, '')) / 1000, fraction };
  });
  if (from === undefined || to === undefined) throw new Error(`not two times: ${state}`);
  return to.whole - from.whole + (to.fraction - from.fraction);
}

/**
 * ctr reports no times of a container, so the measured time includes setting it up and removing it. ARGS
 * replace the whole command of the image.
 */
const CTR: BenchRuntime = {
  name: 'ctr',
  pull: async (image, signal) => void (await mustSucceed('ctr', ['images', 'pull', image], signal)),
  async run(image, one, options, signal) {
    const container = containerName();
    const args = [
      'run',
      '--rm',
      ...environmentArgs(one),
      ...options.runtimeArgs,
      image,
      container,
      ...one.args,
    ];
    try {
      const { status, output, seconds } = await limited(options, signal, (within) =>
        execute('ctr', args, within),
      );
      if (status !== 0) throw failedRun(status, output);
      return { seconds, output };
    } catch (error) {
      const within = AbortSignal.timeout(CLEANUP_MS);
      await execute('ctr', ['tasks', 'kill', '--signal', 'SIGKILL', container], within).catch(
        () => undefined,
      );
      await execute('ctr', ['containers', 'rm', container], within).catch(() => undefined);
      throw error;
    }
  },
};

function isInstalled(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Opens the named runtime, or else the first that is installed. @throws {UserError} */
export function openRuntime(wanted: BenchRuntimeName | undefined, { cpus }: ContainerOptions): BenchRuntime {
  const name = wanted ?? RUNTIMES.find(isInstalled);
  if (name === undefined || !isInstalled(name)) {
    throw new UserError(
      name === undefined ? 'no container runtime is installed' : `${name} is not installed`,
      {
        nextStep: `Install one of ${RUNTIMES.join(', ')}.`,
      },
    );
  }
  if (name === 'ctr' && cpus !== undefined) {
    throw new UserError('ctr cannot pin a container to CPUs', {
      nextStep: 'Leave --cpus out, or use --runtime docker or podman.',
      exitStatus: 2,
    });
  }
  return name === 'ctr' ? CTR : dockerLike(name);
}
