import { EventEmitter } from 'node:events';
import type { KeyValueStore } from '../../src/replicas/key-value-store.ts';
import { openSealedState, type SealedStateOptions } from '../../src/replicas/sealed-state.ts';
import { afterTest } from './upstream.ts';

/** A key-value store in memory that a test can stop, pause and corrupt. */
export class MemoryServer {
  readonly values = new Map<string, string>();
  /** All published messages. */
  readonly messages: { readonly channel: string; readonly message: string }[] = [];
  /** A listener for each replica. */
  readonly #listeners = new EventEmitter().setMaxListeners(0);
  readonly #pending: (() => void)[] = [];
  /** Called with the time to live of each value that is set; values do not expire by themselves. */
  onExpiry: (ttlMs: number) => void = () => {};
  /** Refuses connections. */
  isDown = false;
  /** Accepts messages and delivers none. */
  isMuted = false;
  /** Accepts commands and does not respond. */
  isPaused = false;

  publish(channel: string, message: string): void {
    this.messages.push({ channel, message });
    if (!this.isMuted) this.#listeners.emit(channel, message);
  }

  /** Responds to the commands that arrived during the pause. */
  flush(): void {
    for (const work of this.#pending.splice(0)) work();
  }

  store(): KeyValueStore & { isCut: boolean; isDeaf: boolean } {
    const own = { isCut: false, isDeaf: false, isClosed: false };
    const answer = async <T>(value: () => T): Promise<T> => {
      if (this.isDown || own.isCut) throw new Error('connection refused');
      if (!this.isPaused) return value();
      return new Promise((resolve) => this.#pending.push(() => resolve(value())));
    };
    return Object.assign(own, {
      failure: undefined,
      get: (key: string, maxBytes: number) => answer(() => this.values.get(key)?.slice(0, maxBytes)),
      set: (key: string, value: string, ttlMs: number) =>
        answer(() => {
          this.onExpiry(ttlMs);
          this.values.set(key, value);
        }),
      setIfAbsent: (key: string, value: string) =>
        answer(() => {
          if (this.values.has(key)) return false;
          this.values.set(key, value);
          return true;
        }),
      publish: (channel: string, message: string) => answer(() => this.publish(channel, message)),
      listen: (channel: string, receive: (message: string) => void) =>
        void this.#listeners.on(channel, (message: string) => {
          if (!own.isCut && !own.isDeaf && !own.isClosed) receive(message);
        }),
      reconnect: () => {},
      close: async () => {
        own.isClosed = true;
      },
    });
  }

  /** Connects a replica of the site with this secret. */
  replica(options: Partial<SealedStateOptions> = {}) {
    const store = this.store();
    const events: string[] = [];
    const results: string[] = [];
    const state = openSealedState({
      store,
      secret: Buffer.alloc(32, 1),
      place: 'redis://test',
      log: (_level, event) => void events.push(event),
      // A constant, so that a pause of this process does not count as silence of the store.
      now: () => 0,
      onResult: (operation, result) => void results.push(`${operation} ${result}`),
      times: { budgetMs: 50, backgroundMs: 500, beatMs: 20, greetMs: 5 },
      ...options,
    });
    afterTest(() => state.close());
    return { state, store, events, results };
  }
}
