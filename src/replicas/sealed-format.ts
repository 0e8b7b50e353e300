import * as v from 'valibot';
import type { Schema } from '../lib/schema.ts';

/** What replicas seal, within which sizes and times. */

/** Times by which a replica judges the shared state, in milliseconds. */
export interface SharedTimes {
  /** Maximum time that a request waits for an operation. */
  readonly budgetMs: number;
  /** Maximum time of an operation in the background. */
  readonly backgroundMs: number;
  readonly beatMs: number;
  /** The shared state is down when the replica has not received its own beat for this time. */
  readonly lostMs: number;
  /** Opens new connections after this time without a beat. */
  readonly silentMs: number;
}

export const SHARED_TIMES: SharedTimes = {
  budgetMs: 10,
  backgroundMs: 2000,
  beatMs: 500,
  lostMs: 2000,
  silentMs: 8000,
};

/** A sealed value is a third longer than its text. */
export const VALUE_MAX_BYTES = 1024 * 1024;
export const MESSAGE_MAX_BYTES = 256 * 1024;
/** Maximum difference of replicas' clocks; somebody has delayed or replayed an older message. */
export const MESSAGE_AGE_MAX_MS = 30_000;

export const MESSAGE = v.object({
  id: v.pipe(v.string(), v.maxLength(32)),
  from: v.pipe(v.string(), v.maxLength(32)),
  at: v.number(),
  topic: v.pipe(v.string(), v.maxLength(64)),
  body: v.unknown(),
});

/** Parses sealed JSON; undefined: it is absent, no JSON, or breaks the schema. */
export function parseBy<T>(text: string | undefined, schema: Schema<T>): T | undefined {
  if (text === undefined) return undefined;
  try {
    const { success, output } = v.safeParse(schema, JSON.parse(text));
    return success ? output : undefined;
  } catch {
    return undefined;
  }
}
