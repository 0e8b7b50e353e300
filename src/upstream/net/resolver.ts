import { ADDRCONFIG, type LookupAddress, lookup } from 'node:dns';
import type { Socket } from 'node:net';
import { LRUCache } from 'lru-cache';
import { entriesAtMost } from '../../lib/lru.ts';
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

const PLACES_MAX = 200;
/** RFC 6555, section 4.2, suggests ten minutes. */
const MAX_AGE_MS = 10 * 60_000;

/**
 * Remembers by host and port which address answered last. Node.js tries the addresses of a name in order, and an address
 * that drops packets delays every new connection: with the memory, only the first one.
 */
export class AddressMemory {
  readonly #latest = new LRUCache<string, { readonly address: string; readonly hasAnswered: boolean }>({
    ...entriesAtMost(PLACES_MAX),
    ttl: MAX_AGE_MS,
  });

  /** Returns the address that answered last as the first one, and an address that failed last as the last one. */
  ordered(place: string, addresses: readonly LookupAddress[]): readonly LookupAddress[] {
    const latest = this.#latest.get(place);
    const known = addresses.find(({ address }) => address === latest?.address);
    if (known === undefined) return addresses;
    const others = addresses.filter((each) => each !== known);
    return latest?.hasAnswered ? [known, ...others] : [...others, known];
  }

  /** Remembers, once the socket has reached an address, whether `connected` shows that it answers. */
  follow(place: string, socket: Socket, connected: Promise<unknown>): void {
    socket.once('connect', () => {
      const { remoteAddress: address } = socket;
      if (address === undefined) return;
      const note = (hasAnswered: boolean) => void this.#latest.set(place, { address, hasAnswered });
      connected.then(
        () => note(true),
        () => note(false),
      );
    });
  }
}
