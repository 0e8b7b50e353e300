import { ADDRCONFIG, type LookupAddress, lookup } from 'node:dns';

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

/** A resolver that asks for each name once at a time, and for few names at once. */
export function createResolver(ask: Resolver = askSystem): Resolver {
  const flights = new Map<string, Promise<readonly LookupAddress[]>>();
  const waiting: (() => void)[] = [];
  let running = 0;

  async function takeTurn(hostname: string): Promise<readonly LookupAddress[]> {
    if (running >= LOOKUPS_MAX) await new Promise<void>((go) => waiting.push(go));
    else running += 1;
    try {
      return await ask(hostname);
    } finally {
      // The turn passes on as it is, or becomes free.
      const next = waiting.shift();
      if (next) next();
      else running -= 1;
    }
  }

  return (hostname) => {
    const flying = flights.get(hostname);
    if (flying) return flying;
    const flight = takeTurn(hostname).finally(() => flights.delete(hostname));
    flights.set(hostname, flight);
    return flight;
  };
}
