import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { Metahub } from '../support/metahub.ts';
import type { Random } from './random.ts';
import type { Tally } from './tally.ts';

/** The resources of a process. */
export interface Footprint {
  readonly residentMib: number;
  readonly handles: number;
}

/** The resident memory of a process in MiB, from `/proc/PID`. */
export function residentMibOf(pid: number): number {
  const kib = Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  return Math.round(kib / 1024);
}

function footprintOf(pid: number): Footprint {
  return { residentMib: residentMibOf(pid), handles: readdirSync(`/proc/${pid}/fd`).length };
}

/** How long nothing must change before a process counts as idle: longer than files without readers stay open. */
const QUIET_MS = 8000;
/** A fetch without clients continues for half a minute, and a connection to the registry is kept as long. */
const QUIET_WITHIN_MS = 90_000;

/** The resources of a process once its open file descriptors no longer change. */
export async function footprintWhenIdle(pid: number): Promise<Footprint> {
  const giveUpMs = performance.now() + QUIET_WITHIN_MS;
  let before = footprintOf(pid);
  let sinceMs = performance.now();
  while (performance.now() - sinceMs < QUIET_MS && performance.now() < giveUpMs) {
    await delay(500);
    const now = footprintOf(pid);
    if (now.handles !== before.handles) sinceMs = performance.now();
    before = now;
  }
  return before;
}

/** Kills, stops and reloads the mirror every few seconds until `signal` aborts; `kinds` selects the actions. */
export async function disturb(
  metahub: Metahub,
  kinds: readonly ('SIGKILL' | 'SIGTERM' | 'SIGHUP')[],
  random: Random,
  signal: AbortSignal,
  done: Tally,
): Promise<void> {
  while (!signal.aborted) {
    await delay(random.whole(1500, 6000), undefined, { signal }).catch(() => {
      // The end of the run aborts the wait.
    });
    if (signal.aborted) return;
    const kind = random.pick(kinds);
    done.add(kind);
    if (kind === 'SIGHUP') metahub.reload();
    else if (kind === 'SIGKILL') await metahub.killAndRestart();
    else if ((await metahub.restart()) !== 0) done.add('SIGTERM without exit status 0');
  }
}
