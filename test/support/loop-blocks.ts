import { readFileSync } from 'node:fs';
import { turns } from './turns.ts';

/** Time on a CPU of the calling thread so far, in milliseconds: other programs on a busy machine do not count. */
function cpuMs(): number {
  return Number(readFileSync('/proc/thread-self/schedstat', 'latin1').split(' ', 1)[0]) / 1e6;
}

/** How long the longest turn of the event loop took while `work` was done, in milliseconds on the CPU. */
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
    // The turn in which the work ended has not been looked at.
    await turns(1);
    look();
  } finally {
    clearInterval(timer);
  }
  return longest;
}
