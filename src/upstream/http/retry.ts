import { setTimeout as delay } from 'node:timers/promises';
import { drain } from './response-reader.ts';
import type { Outgoing, Reply, Transport } from './transport.ts';

const RETRY_DELAY_MS = 200;
const TRANSIENT_STATUS = [500, 502, 503, 504];
const TRANSIENT_CODES = ['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET'];

function isTransient(error: unknown): boolean {
  return error instanceof Error && TRANSIENT_CODES.includes((error as NodeJS.ErrnoException).code ?? '');
}

/** One more try when a server stumbles or a kept connection turns out to be closed: everything we send is idempotent. */
export async function sendWithRetry(send: Transport['send'], outgoing: Outgoing): Promise<Reply> {
  try {
    const reply = await send(outgoing);
    if (!TRANSIENT_STATUS.includes(reply.status)) return reply;
    drain(reply);
  } catch (error) {
    if (!isTransient(error)) throw error;
  }
  await delay(RETRY_DELAY_MS, undefined, outgoing.signal === undefined ? {} : { signal: outgoing.signal });
  return send(outgoing);
}
