import * as v from 'valibot';
import type { Schema } from '../lib/schema.ts';

/** The format of what replicas seal, and its limits of size and time. */

/** Times by which a replica judges the shared state, in milliseconds. */
export interface SharedTimes {
  /** Time limit of an operation that a request waits for. */
  readonly budgetMs: number;
  /** Time limit of an operation in the background. */
  readonly backgroundMs: number;
  readonly beatMs: number;
  /** Minimum time between a beat and the next that a new replica causes. */
  readonly greetMs: number;
  /** The shared state is down when the replica has not received its own beat for this time. */
  readonly lostMs: number;
  /** New connections are opened after this time without a beat. */
  readonly silentMs: number;
}

export const SHARED_TIMES: SharedTimes = {
  budgetMs: 10,
  backgroundMs: 2000,
  beatMs: 500,
  greetMs: 50,
  lostMs: 2000,
  silentMs: 8000,
};

/** Maximum size of a sealed value, in bytes. It is a third longer than its text. */
export const VALUE_MAX_BYTES = 1024 * 1024;
export const MESSAGE_MAX_BYTES = 256 * 1024;
/** Maximum age of a message, in milliseconds. An older one was delayed or replayed. */
export const MESSAGE_AGE_MAX_MS = 30_000;
/** Replicas of a site that hear each other. */
export const PEERS_MAX = 64;
export const ID_BYTES = 12;
/** Topic of the message by which a replica tests the connection, and the others know that it is there. */
export const BEAT = 'beat';

const Id = v.pipe(v.string(), v.maxLength(32));

export const MESSAGE = v.object({
  id: Id,
  from: Id,
  topic: v.pipe(v.string(), v.maxLength(64)),
  body: v.unknown(),
  heard: v.pipe(v.array(Id), v.maxLength(2 * PEERS_MAX)),
});

/** Parses sealed JSON; undefined when it is absent, not JSON, or does not match the schema. */
export function parseBy<T>(text: string | undefined, schema: Schema<T>): T | undefined {
  if (text === undefined) return undefined;
  try {
    const { success, output } = v.safeParse(schema, JSON.parse(text));
    return success ? output : undefined;
  } catch {
    return undefined;
  }
}
