import type { Schema } from './schema.ts';

/** `request` (default): a request waits, and can continue without a result. `background`: no request waits. */
export type Patience = 'request' | 'background';

export type ClaimResult = 'claimed' | 'taken' | 'unknown';

/**
 * Values and messages that the processes of one service share. The service works without them: no method rejects,
 * and each gives up within milliseconds unless it runs in the background. A schema checks what another process
 * wrote.
 */
export interface SharedState {
  /** Reads a value. Undefined when it is absent, does not match the schema, or did not arrive in time. */
  get<T>(key: string, schema: Schema<T>, patience?: Patience): Promise<T | undefined>;
  /** Resolves with true when the value was set. */
  set(key: string, value: unknown, ttlMs: number, patience?: Patience): Promise<boolean>;
  /**
   * Sets a value unless the key exists. `taken`: another process, or this one, has set it. `unknown`: the shared
   * state did not answer, or has a value that no process has set, so each process decides by itself.
   */
  claim(key: string, value: unknown, ttlMs: number, patience?: Patience): Promise<ClaimResult>;
  /** Sends a message to all other processes. Resolves when the store has accepted it, or after giving up. */
  publish(topic: string, body: unknown): Promise<void>;
  /** Receives messages. `from` identifies the sender. */
  subscribe<T>(topic: string, schema: Schema<T>, receive: (body: T, from: string) => void): void;
  /** Calls back after each (re)connection: messages may have been missed, and new ones arrive again. */
  onReturn(callback: () => void): void;
  /** Why the shared state is unavailable; undefined when it is available. */
  readonly trouble: string | undefined;
  close(): Promise<void>;
}
