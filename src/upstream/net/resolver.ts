import { ADDRCONFIG, type LookupAddress, lookup } from 'node:dns';
import { SingleFlight } from '../../lib/single-flight.ts';

/** Every address of a host name. */
export type Resolver = (hostname: string) => Promise<readonly LookupAddress[]>;

/**
 * The system's resolver blocks a thread of Node's pool of four until DNS answers. Reading files needs that pool too:
 * with lookups on all threads, a dead DNS would stop the cache from serving stored content.
 */
const LOOKUPS_MAX = 2;

function askSystem(hostname: string): Promise<readonly LookupAddress[]> {
  return new Promise((resolve, reject) => {
    lookup(hostname, { all: true, hints: ADDRCONFIG }, (error, addresses) =>
      error ? reject(error) : resolve(addresses),
    );
  });
}

/** The names that one registry needs, looked up one after another. */
interface Lane {
  readonly wanted: (() => Promise<unknown>)[];
  /** True while it waits for its turn, or has it. */
  isIn: boolean;
}

/**
 * Makes resolvers, one for each registry, that look up few names at once and take turns: a registry that redirects to
 * names without a DNS answer delays only itself. Concurrent lookups of one name are shared.
 */
export function createResolvers(ask: Resolver = askSystem): () => Resolver {
  /** Lanes with waiting names and no lookup under way, longest waiting first. */
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
