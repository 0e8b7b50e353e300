import { readdirSync, readFileSync } from 'node:fs';

/** Clock ticks of a second in /proc/PID/stat: USER_HZ, 100 on every Linux that Node.js runs on. */
const TICKS_PER_S = 100;

interface Stat {
  readonly parent: number;
  readonly ticks: number;
}

/** Fields behind the parenthesis that ends the name: state, ppid, … utime (14th) and stime. @see proc_pid_stat(5) */
function statOf(pid: number): Stat | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { parent: Number(fields[1]), ticks: Number(fields[11]) + Number(fields[12]) };
  } catch {
    return undefined; // it has ended
  }
}

/** Processor seconds that a process and those below it have used, threads included. */
export function cpuSeconds(root: number): number {
  const pids = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
  const stats = new Map(pids.map((pid) => [pid, statOf(pid)] as const));
  const isBelow = (pid: number): boolean => {
    if (pid === root) return true;
    const parent = stats.get(pid)?.parent ?? 0;
    return parent > 1 && isBelow(parent);
  };
  return pids.filter(isBelow).reduce((sum, pid) => sum + (stats.get(pid)?.ticks ?? 0), 0) / TICKS_PER_S;
}

/** Memory of a process that is its own or shared in part, in bytes. */
export function residentBytes(pid: number): number {
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kibibytes ?? 0) * 1024;
}
