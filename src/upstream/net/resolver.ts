import { ADDRCONFIG, type LookupAddress, lookup } from 'node:dns';
import { SingleFlight } from '../../lib/single-flight.ts';

/** Every address of a host name. */
export type Resolver = (hostname: string) => Promise<readonly LookupAddress[]>;

/**
 * The system's resolver blocks a thread of Node's pool of four for as long as DNS does not answer, and reading files needs
 * that pool as well: were it to hold all of them, a dead DNS would stop the cache from serving what it has.
 */
const LOOKUPS_MAX = 2;

function askSystem(hostname: string): Promise<readonly LookupAddress[]> {
  return new Promise((resolve, reject) => {
    lookup(hostname, { all: true, hints: ADDRCONFIG }, (error, addresses) =>
      error ? reject(error) : resolve(addresses),
    );
  });
}

/** What one registry wants to know, one name after the other. */
interface Lane {
  readonly wanted: (() => Promise<unknown>)[];
  /** It waits for its turn, or has it. */
  isIn: boolean;
}

/**
 * Makes resolvers, one for each registry, that ask for few names at once and take turns: a registry that redirects to names
 * of which DNS says nothing makes only itself wait. Each asks for a name once, however many want it.
 */
export function createResolvers(ask: Resolver = askSystem): () => Resolver {
  /** Lanes that have something to ask and are asking nothing, longest waiting first. */
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

  function enter(lane: Lane): void {
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
        enter(lane);
      });
    return (hostname) => flights.share(hostname, undefined, () => lookUp(hostname));
  };
}
