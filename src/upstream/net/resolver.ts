import { ADDRCONFIG, type LookupAddress, lookup } from 'node:dns';
import { SingleFlight } from '../../lib/single-flight.ts';

/** Resolves a host name to all its addresses. */
export type Resolver = (hostname: string) => Promise<readonly LookupAddress[]>;

/**
 * The system's resolver blocks one of the four threads of Node's pool until DNS answers. Reading files needs
 * that pool too: with lookups on all threads, a dead DNS server would stop the cache from serving stored
 * content.
 */
const LOOKUPS_MAX = 2;

function askSystem(hostname: string): Promise<readonly LookupAddress[]> {
  return new Promise((resolve, reject) => {
    lookup(hostname, { all: true, hints: ADDRCONFIG }, (error, addresses) =>
      error ? reject(error) : resolve(addresses),
    );
  });
}

/** The names that one registry needs. They are looked up one after another. */
interface Lane {
  readonly wanted: (() => Promise<unknown>)[];
  /** True while the lane is waiting or one of its lookups is running. */
  isIn: boolean;
}

/**
 * Makes resolvers, one for each registry. They take turns, with few lookups at once, so that a registry that
 * redirects to names without a DNS answer delays only itself. Concurrent lookups of one name are shared.
 */
export function createResolvers(ask: Resolver = askSystem): () => Resolver {
  /** Lanes that have waiting names and no running lookup, the longest waiting first. */
  const waiting: Lane[] = [];
  let running = 0;

  function work(): void {
    while (running < LOOKUPS_MAX) {
      const lane = waiting.shift();
      const lookUp = lane?.wanted.shift();
      if (lane === undefined || lookUp === undefined) return;
      running += 1;
      void lookUp().then(() => {
        running -= 1;
        if (lane.wanted.length > 0) waiting.push(lane);
        else lane.isIn = false;
        work();
      });
    }
  }

  function enqueue(lane: Lane): void {
    if (lane.isIn) return;
    lane.isIn = true;
    waiting.push(lane);
    work();
  }

  return () => {
    const lane: Lane = { wanted: [], isIn: false };
    const flights = new SingleFlight<readonly LookupAddress[]>();
    const lookUp = (hostname: string) =>
      new Promise<readonly LookupAddress[]>((resolve, reject) => {
        lane.wanted.push(() => ask(hostname).then(resolve, reject));
        enqueue(lane);
      });
    return (hostname) => flights.share(hostname, undefined, () => lookUp(hostname));
  };
}
