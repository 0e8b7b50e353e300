import { performance } from 'node:perf_hooks';
import type { Log } from '../lib/log.ts';
import type { Metrics } from './metrics.ts';

const INTERVAL_MS = 250;

/** A blocked event loop answers nobody; from this long on it is worth a line. */
const BLOCKED_MS = 1000;

export interface EventLoopMonitor {
  start(): void;
  stop(): void;
}

/** Notices, afterwards, that the event loop stood still: what watches from outside is systemd (see notify.ts). */
export function createEventLoopMonitor(log: Log, metrics: Metrics): EventLoopMonitor {
  const blocked = metrics.counter(
    'metahub_event_loop_blocked_seconds_total',
    'Time during which the event loop stood still for a second or more.',
  );
  let timer: NodeJS.Timeout | undefined;
  return {
    start: () => {
      let dueMs = performance.now() + INTERVAL_MS;
      timer ??= setInterval(() => {
        const nowMs = performance.now();
        const lateMs = nowMs - dueMs;
        dueMs = nowMs + INTERVAL_MS;
        if (lateMs < BLOCKED_MS) return;
        blocked.child().add(lateMs / 1000);
        log('warning', 'event-loop-blocked', 'the event loop stood still', { ms: Math.round(lateMs) });
      }, INTERVAL_MS).unref();
    },
    stop: () => {
      clearInterval(timer);
      timer = undefined;
    },
  };
}
