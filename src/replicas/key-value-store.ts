/**
 * The operations of a key-value store that replicas need. An implementation may reject, be slow, and return
 * forged values: {@link openSealedState} turns it into a {@link SharedState}.
 */
export interface KeyValueStore {
  /** Reads the first `maxBytes` bytes of a value; undefined: the key does not exist. */
  get(key: string, maxBytes: number): Promise<string | undefined>;
  set(key: string, value: string, ttlMs: number): Promise<void>;
  /** Sets a value unless the key exists. Resolves to true when it was set. */
  setIfAbsent(key: string, value: string, ttlMs: number): Promise<boolean>;
  /** Resolves when the store has accepted the message. */
  publish(channel: string, message: string): Promise<void>;
  /** Call it once. Subscribes again after each reconnection. */
  listen(channel: string, receive: (message: string) => void): void;
  /** Why there is no connection, as the system reports it. */
  readonly failure: string | undefined;
  /** Closes silent connections and opens new ones. */
  reconnect(): void;
  close(): Promise<void>;
}
