import type { ServerResponse } from 'node:http';
import type { ByteBudget } from '../lib/byte-budget.ts';
import { RegistryError } from '../oci/registry-error.ts';

/** Answers up to this size are bounded by the number of requests in flight; larger ones share a budget. */
const SMALL_BYTES = 64 * 1024;

/** 503 with the time after which another try makes sense. */
export function overloaded(message: string): RegistryError {
  return new RegistryError('UNAVAILABLE', message, { status: 503, headers: { 'retry-after': '1' } });
}

/**
 * Counts a document's bytes against the budget until `res` is sent: clients that read slowly, each another large document,
 * must not fill the memory.
 * @throws {RegistryError} UNAVAILABLE with 503 when the budget is used up.
 */
export function holdUntilSent(budget: ByteBudget, res: ServerResponse, bytes: Buffer): void {
  if (bytes.length <= SMALL_BYTES) return;
  const release = budget.tryHold(bytes);
  if (release === undefined) throw overloaded('this mirror is sending as many large documents as it may');
  if (res.destroyed) release();
  else res.once('close', release);
}
