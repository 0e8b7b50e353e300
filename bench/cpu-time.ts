import { readdirSync, readFileSync } from 'node:fs';

/** Clock ticks per second in /proc/PID/stat: USER_HZ, 100 on every Linux that Node.js runs on. */
const TICKS_PER_S = 100;

interface Stat {
  readonly parent: number;
  readonly ticks: number;
}

/**
 * The fields after the parenthesis that ends the name: state, ppid, … utime (14th), stime, cutime and cstime. @see
 * proc_pid_stat(5)
 */
function statOf(pid: number): Stat | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
    return { parent: Number(fields[1]), ticks };
  } catch {
    return undefined; // it has ended
  }
}

/** A process and its descendants. */
export function processesBelow(root: number): readonly number[] {
  return [...statsBelow(root).keys()];
}

/** Seconds of CPU time that a process, its descendants and their ended children have used, threads included. */
export function cpuSeconds(root: number): number {
  return [...statsBelow(root).values()].reduce((sum, { ticks }) => sum + ticks, 0) / TICKS_PER_S;
}

function statsBelow(root: number): ReadonlyMap<number, Stat> {
  const pids = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
  const stats = new Map(
    pids.flatMap((pid) => {
      const stat = statOf(pid);
      return stat ? [[pid, stat] as const] : [];
    }),
  );
  const isBelow = (pid: number): boolean => {
    if (pid === root) return true;
    const parent = stats.get(pid)?.parent ?? 0;
    return parent > 1 && isBelow(parent);
  };
  return new Map([...stats].filter(([pid]) => isBelow(pid)));
}

/** The resident memory of a process (VmRSS), in bytes. */
export function residentBytes(pid: number): number {
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kibibytes ?? 0) * 1024;
}

/** Whole disks, by their names in /proc/diskstats: no partitions, no loop devices. */
const DISK = /^(?:[vs]d[a-z]+|nvme\d+n\d+)$/;
const SECTOR_BYTES = 512;

/** Bytes written to all disks since the machine started. @see https://docs.kernel.org/admin-guide/iostats.html */
export function writtenBytes(): number {
  const lines = readFileSync('/proc/diskstats', 'utf8').trim().split('\n');
  const fields = lines.map((line) => line.trim().split(/\s+/)).filter(([, , name = '']) => DISK.test(name));
  return fields.reduce((sum, line) => sum + Number(line[9]) * SECTOR_BYTES, 0);
}
