import { setImmediate as turn } from 'node:timers/promises';

/** Lets everything else in this process go on for so many turns of its event loop: sockets are read, files written. */
export async function turns(count: number): Promise<void> {
  for (let made = 0; made < count; made += 1) await turn();
}
