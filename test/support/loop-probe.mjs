// Preloaded into a program (NODE_OPTIONS=--import): writes every second, to the file that METAHUB_LOOP_PROBE names, how long the
// longest turn of its event loop has taken so far, in milliseconds on the CPU and by the clock. Other programs on a busy machine
// count by the clock only.
import { openSync, readSync, writeFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

function watch(file) {
  const schedstat = openSync('/proc/thread-self/schedstat', 'r');
  const bytes = Buffer.alloc(64);
  const cpuMs = () => {
    const length = readSync(schedstat, bytes, 0, bytes.length, 0);
    return Number(bytes.toString('latin1', 0, length).split(' ', 1)[0]) / 1e6;
  };
  let before = { cpu: cpuMs(), clock: performance.now() };
  const longest = { cpu: 0, clock: 0 };
  setInterval(() => {
    const now = { cpu: cpuMs(), clock: performance.now() };
    longest.cpu = Math.max(longest.cpu, now.cpu - before.cpu);
    longest.clock = Math.max(longest.clock, now.clock - before.clock);
    before = now;
  }, 5).unref();
  setInterval(() => writeFileSync(file, JSON.stringify(longest)), 1000).unref();
}

// The first turns load the program.
const file = process.env.METAHUB_LOOP_PROBE;
if (isMainThread && file !== undefined) setTimeout(() => watch(file), 2000).unref();
