import { hostOf, portOf } from '../../lib/address.ts';
import type { Dial } from '../net/dial.ts';
import { type Http1Connection, openConnection } from './http1-connection.ts';
import type { SlabPool } from './slab.ts';

/** For how long a connection without a request is kept, and how many for each origin. */
const IDLE_MAX_MS = 10_000;
const IDLE_MAX = 4;

/** Connections to origins: those in use, and those kept for the next request. */
export function createConnectionPool(dial: Dial, slabs: SlabPool) {
  const all = new Set<Http1Connection>();
  const idle = new Map<string, Http1Connection[]>();

  function forget(origin: string, wire: Http1Connection): void {
    all.delete(wire);
    const kept = idle.get(origin)?.filter((other) => other !== wire) ?? [];
    if (kept.length > 0) idle.set(origin, kept);
    else idle.delete(origin);
  }

  async function open(url: URL): Promise<Http1Connection> {
    const target = { host: hostOf(url), port: portOf(url), secure: url.protocol === 'https:' };
    const wire = await openConnection(dial, target, slabs);
    all.add(wire);
    wire.socket.once('close', () => forget(url.origin, wire)).on('timeout', () => wire.socket.destroy());
    return wire;
  }

  return {
    /** A fresh connection; should `signal` abort first, it is closed as soon as it is there. */
    open: (url: URL, signal: AbortSignal | undefined): Promise<Http1Connection> =>
      new Promise((resolve, reject) => {
        const opening = open(url);
        const onAbort = () => {
          reject(signal?.reason);
          opening.then(
            ({ socket }) => socket.destroy(),
            () => {
              // It was not wanted any longer.
            },
          );
        };
        if (signal?.aborted) return onAbort();
        signal?.addEventListener('abort', onAbort, { once: true });
        opening.then(resolve, reject).finally(() => signal?.removeEventListener('abort', onAbort));
      }),
    /** The connection that was used last, if any of them is still open. */
    takeIdle: (origin: string): Http1Connection | undefined => {
      const kept = idle.get(origin) ?? [];
      for (let wire = kept.pop(); wire !== undefined; wire = kept.pop()) {
        if (wire.socket.destroyed) continue;
        wire.socket.setTimeout(0).ref();
        return wire;
      }
      return undefined;
    },
    /** Closes those that wait for a request. */
    dropIdle: (origin: string): void => {
      for (const { socket } of idle.get(origin) ?? []) socket.destroy();
    },
    give: (origin: string, wire: Http1Connection): void => {
      const kept = idle.get(origin) ?? [];
      if (wire.socket.destroyed || kept.length >= IDLE_MAX) return void wire.socket.destroy();
      // Reading goes on, so that its end is noticed; it must not keep a process alive.
      wire.socket.setTimeout(IDLE_MAX_MS).unref().resume();
      idle.set(origin, [...kept, wire]);
    },
    close: () => {
      for (const { socket } of all) socket.destroy();
    },
  };
}
