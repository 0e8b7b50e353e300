import { parseRetryAfterMs } from '../lib/http.ts';
import { RegistryError } from '../oci/registry-error.ts';

/** Clients do not wait longer for the next byte. */
const WAIT_MAX_MS = 10_000;
/** A registry that limits requests needs a longer pause than one whose connection broke. */
const THROTTLED_FACTOR = 8;

/** The error of the registry that caused this one, or this one itself. */
function registryErrorIn(error: unknown): RegistryError | undefined {
  if (error instanceof RegistryError) return error;
  return error instanceof Error ? registryErrorIn(error.cause) : undefined;
}

/** True when the registry, or this mirror, refused because of too many requests. */
export function isThrottled(error: unknown): boolean {
  const { status } = registryErrorIn(error) ?? {};
  return status === 429 || status === 503;
}

/**
 * How long to wait before a request that failed with this error is repeated, in milliseconds: at least
 * `pauseMs`, longer when there were too many requests, and as long as `Retry-After` says if a client waits that
 * long.
 */
export function waitBeforeRepeat(error: unknown, pauseMs: number): number {
  const askedMs = parseRetryAfterMs(registryErrorIn(error)?.headers['retry-after']) ?? 0;
  return Math.max(Math.min(askedMs, WAIT_MAX_MS), isThrottled(error) ? pauseMs * THROTTLED_FACTOR : pauseMs);
}
