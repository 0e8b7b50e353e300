import type { LookupAddress } from 'node:dns';
import type { Socket } from 'node:net';
import { LRUCache } from 'lru-cache';
import { entriesAtMost } from '../../lib/lru.ts';

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
