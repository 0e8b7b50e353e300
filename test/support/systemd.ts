import { mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { attempt, type ProgramResult, run, startServer } from './processes.ts';
import type { Workplace } from './workplace.ts';

const CLONE = fileURLToPath(new URL('../..', import.meta.url));
const SUPPORT = join(CLONE, 'test/support');

/** The requirements of booting, in addition to cgroup2. */
export const SYSTEMD = ['root', 'systemctl', 'unshare', 'nsenter', 'ip'];

/** A systemd with this clone's units, in its own namespaces: it sees no network and changes nothing outside. */
export interface Systemd {
  /** Runs a program inside; a status other than 0 is an error. */
  run(command: string, ...args: readonly string[]): Promise<string>;
  attempt(command: string, ...args: readonly string[]): Promise<ProgramResult>;
  /** A command prefix that runs a program of this machine in the system's network. */
  readonly inNetwork: readonly string[];
  /** A command prefix that runs a program of the system itself. */
  readonly enter: readonly string[];
  /** One property of a unit, as `systemctl show` gives it. */
  property(unit: string, name: string): Promise<string>;
}

/** The mount point of cgroup2: the root of the unified hierarchy, or its place beside the old ones. */
function cgroup2Mount(): string | undefined {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return mounts.find((line) => line.includes(' - cgroup2 '))?.split(' ')[4];
}

function removeGroup(group: string): void {
  for (const entry of readdirSync(group, { withFileTypes: true })) {
    if (entry.isDirectory()) removeGroup(join(group, entry.name));
  }
  rmdirSync(group);
}

/** The only child of `unshare`, which is the first process inside. */
function childOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim());
}

/** Boots this machine's /usr with the clone's units and program. */
export function bootSystemd(workplace: Workplace): Promise<Systemd> {
  const tree = workplace.folder('systemd');
  const root = workplace.folder('systemd/root');
  return boot(workplace, root, [join(SUPPORT, 'boot-systemd.sh'), tree, CLONE, process.execPath]);
}

/** Boots a whole Debian tree, which the system changes while it runs. */
export function bootTree(workplace: Workplace, tree: string): Promise<Systemd> {
  return boot(workplace, tree, [join(SUPPORT, 'boot-tree.sh'), tree]);
}

async function boot(workplace: Workplace, root: string, command: readonly string[]): Promise<Systemd> {
  const pipe = join(root, 'booted');
  await run('mkfifo', [pipe]);
  const group = mkdtempSync(join(cgroup2Mount() ?? '', 'metahub-test-'));
  workplace.onClose(() => removeGroup(group));
  const namespaces = ['--mount', '--pid', '--fork', '--kill-child', '--uts', '--ipc', '--net', '--cgroup'];
  const outside = await startServer({
    command: '/bin/sh',
    args: [
      ...['-c', 'echo $$ >"$0/cgroup.procs" && echo moved && exec "$@"', group],
      ...['unshare', ...namespaces, ...command],
    ],
    ready: /^moved$/m,
  });
  // All processes inside end with the first one.
  workplace.onClose(async () => {
    process.kill(childOf(outside.pid), 'SIGKILL');
    await outside.stop('SIGCONT');
  });
  const booted = await attempt('cat', [pipe]);
  rmSync(pipe);
  if (booted.stdout !== 'booted\n') throw new Error(`systemd did not come up:\n${outside.output()}`);

  const inside = [
    `--target=${childOf(outside.pid)}`,
    '--mount',
    '--pid',
    '--uts',
    '--ipc',
    '--net',
    '--cgroup',
  ];
  const enter = (command: string, args: readonly string[]) => [...inside, '--', command, ...args];
  return {
    enter: ['nsenter', ...inside, '--'],
    inNetwork: ['nsenter', `--target=${childOf(outside.pid)}`, '--net', '--'],
    run: (command, ...args) => run('nsenter', enter(command, args)),
    attempt: (command, ...args) => attempt('nsenter', enter(command, args)),
    property: async (unit, name) =>
      (await run('nsenter', enter('systemctl', ['show', '--value', `--property=${name}`, unit]))).trim(),
  };
}
