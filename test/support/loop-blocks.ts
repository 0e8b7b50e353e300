import { readFileSync } from 'node:fs';
import { turns } from './turns.ts';

/** The CPU time of the calling thread so far, in milliseconds. Other programs on a busy machine do not count. */
function cpuMs(): number {
  return Number(readFileSync('/proc/thread-self/schedstat', 'latin1').split(' ', 1)[0]) / 1e6;
}

/** The longest turn of the event loop during `work`, in milliseconds of CPU time. */
export async function longestTurnMs(work: () => Promise<unknown>): Promise<number> {
  let before = cpuMs();
  let longest = 0;
  const look = () => {
    const now = cpuMs();
    longest = Math.max(longest, now - before);
    before = now;
  };
  const timer = setInterval(look, 1);
  try {
    await work();
    // The turn in which the work ended has not been measured yet.
    await turns(1);
    look();
  } finally {
    clearInterval(timer);
  }
  return longest;
}
