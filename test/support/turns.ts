import { setImmediate as turn } from 'node:timers/promises';

/** Waits for this many turns of the event loop, in which sockets are read and files written. */
export async function turns(count: number): Promise<void> {
  for (let made = 0; made < count; made += 1) await turn();
}
