import { createHash } from 'node:crypto';
import { hostname } from 'node:os';
import { isLoopback } from '../../lib/address.ts';
import { parseRetryAfterMs } from '../../lib/http.ts';
import type { Log } from '../../lib/log.ts';
import type { Gap, GapEventData } from '../../selection/gap-schema.ts';
import { fromNetworkError } from '../../upstream/errors.ts';
import { readBody } from '../../upstream/http/reply.ts';
import { type Transport, USER_AGENT } from '../../upstream/http/transport.ts';
import { buildTargetOf } from '../gap-build.ts';
import { openConnection } from '../open-upstream.ts';
import { UserError } from '../user-error.ts';
import type { GapTurns } from './gap-turns.ts';
import type { GapEvents } from './metrics.ts';
import { readWebhookSecrets, signatureHeaders, WebhookSecretError } from './webhook-secret.ts';

export interface GapWebhookOptions {
  readonly url: URL;
  /** Path of the file of secrets, which is read for every request. */
  readonly secretFile: string;
  /** URI that identifies the sender. */
  readonly source: string;
  readonly transport: Transport;
  readonly log: Log;
  readonly events: GapEvents;
  /** Decides which of several replicas sends an event; undefined: there is one replica. */
  readonly turns?: GapTurns | undefined;
  /** Milliseconds of the wall clock. */
  readonly now: () => number;
  /**
   * Pause before the second attempt, in milliseconds. Each later pause is four times as long as the one
   * before.
   */
  readonly retryMs?: number;
  /** Time limit for an answer, in milliseconds. */
  readonly timeoutMs?: number;
  readonly attemptsMax?: number;
}

export interface WebhookValues {
  readonly gapWebhook?: string | undefined;
  readonly gapWebhookSecret: string | undefined;
  readonly siteUrl: string | undefined;
}

/** The `type` of the CloudEvent. */
const GAP_EVENT_TYPE = 'io.github.qnib.metahub.gap';
const DATA_SCHEMA = 'https://raw.githubusercontent.com/qnib/metahub/main/schema/gap-event.schema.json';

/** Maximum number of waiting events: that of recorded gaps. The webhook drops the oldest. */
const WAITING_MAX = 1_000;
const RETRY_MS = 5_000;
const RETRY_FACTOR = 4;
const RETRY_MAX_MS = 60 * 60_000;
/** The last attempt follows about nine hours after the first. After its next start the mirror tries again. */
const ATTEMPTS_MAX = 14;
const TIMEOUT_MS = 10_000;
/** Maximum size of an answer, in bytes. Only its status matters. */
const ANSWER_MAX_BYTES = 64 * 1024;

interface Waiting {
  readonly id: string;
  readonly gap: Gap;
  readonly done: () => void;
  attempts: number;
  /** Monotonic milliseconds. */
  dueMs: number;
}

type Delivery =
  | { readonly kind: 'delivered' }
  | { readonly kind: 'failed'; readonly why: string; readonly retryAfterMs: number };

/**
 * Returns the id of an event: the same in every run and at every replica, so that receivers recognise
 * repetitions.
 */
function eventIdOf(source: string, { image, fit, platform, wanted }: Gap): string {
  const text = JSON.stringify([source, image, fit, platform, wanted]);
  return `gap_${createHash('sha256').update(text).digest('base64url').slice(0, 32)}`;
}

function dataOf(gap: Gap): GapEventData {
  const { image, fit, platform, wanted, served, firstAt } = gap;
  return { image, fit, platform, wanted, served, firstAt, build: buildTargetOf(gap) };
}

/** @see https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md */
function cloudEventOf(id: string, source: string, gap: Gap): object {
  return {
    specversion: '1.0',
    id,
    source,
    type: GAP_EVENT_TYPE,
    subject: gap.image,
    time: gap.firstAt,
    datacontenttype: 'application/json',
    dataschema: DATA_SCHEMA,
    data: dataOf(gap),
  };
}

/**
 * Sends each offered gap to one receiver, as a CloudEvent that is signed according to Standard Webhooks,
 * until the receiver accepts it: one at a time, in the background. Follows no redirect, so that events reach
 * only the configured URL.
 */
export class GapWebhook {
  readonly #options: GapWebhookOptions;
  readonly #count: GapEvents['count'];
  readonly #waiting = new Map<string, Waiting>();
  readonly #closing = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;
  #isFailing = false;

  constructor(options: GapWebhookOptions) {
    this.#options = options;
    this.#count = options.events.count;
    options.events.watchWaiting(() => this.#waiting.size);
    options.turns?.onDelivered((isIt) => {
      for (const one of this.#waiting.values()) if (isIt(one.gap)) this.#leave(one);
    });
  }

  /** Queues a gap. Calls `done` once the receiver has accepted the event. */
  readonly offer = (gap: Gap, done: () => void): void => {
    const id = eventIdOf(this.#options.source, gap);
    if (this.#waiting.has(id) || this.#closing.signal.aborted) return;
    this.#waiting.set(id, { id, gap, done, attempts: 0, dueMs: performance.now() });
    const [oldest] = this.#waiting.keys();
    if (this.#waiting.size > WAITING_MAX && oldest !== undefined) {
      this.#waiting.delete(oldest);
      this.#count('dropped');
    }
    this.#schedule();
  };

  /** Call it for a gap whose event a receiver accepted in an earlier run. */
  readonly remember = (gap: Gap): void => this.#options.turns?.remember(gap);

  /** Aborts the running request. The record offers undelivered gaps again after the next start. */
  async close(): Promise<void> {
    this.#closing.abort();
    clearTimeout(this.#timer);
    await this.#sending;
    this.#waiting.clear();
    await this.#options.turns?.release();
    await this.#options.transport.close();
  }

  #schedule(): void {
    if (this.#sending !== undefined || this.#closing.signal.aborted) return;
    clearTimeout(this.#timer);
    let next: Waiting | undefined;
    for (const one of this.#waiting.values()) if (next === undefined || one.dueMs < next.dueMs) next = one;
    if (next === undefined) return;
    const due = next;
    const start = () => {
      this.#sending = this.#send(due).finally(() => {
        this.#sending = undefined;
        this.#schedule();
      });
    };
    this.#timer = setTimeout(start, Math.max(0, due.dueMs - performance.now())).unref();
  }

  /** Removes an event that another replica has delivered. */
  #leave({ id, done }: Waiting): void {
    if (!this.#waiting.delete(id)) return;
    this.#count('elsewhere');
    done();
  }

  async #send(due: Waiting): Promise<void> {
    const { turns } = this.#options;
    const turn = turns === undefined ? 'mine' : await turns.take(due.gap);
    if (this.#closing.signal.aborted) return;
    if (turn === 'delivered') return this.#leave(due);
    if (turn !== 'mine') {
      due.dueMs = performance.now() + turn.askAgainMs;
      return;
    }
    const delivery = await this.#deliver(due);
    if (this.#closing.signal.aborted && delivery.kind === 'failed') return;
    const receiver = this.#options.url.origin;
    if (delivery.kind === 'delivered') {
      this.#waiting.delete(due.id);
      this.#count('delivered');
      due.done();
      await turns?.noteDelivered(due.gap);
      if (this.#isFailing)
        this.#options.log('notice', 'gap-webhook-works', 'the webhook accepts events again', { receiver });
      this.#isFailing = false;
      return;
    }
    this.#count('failed');
    due.attempts += 1;
    const reason = delivery.why;
    if (!this.#isFailing) {
      const message = 'the webhook does not accept the event: MetaHub sends it again later';
      this.#options.log('warning', 'gap-webhook-fails', message, { receiver, reason });
    }
    this.#isFailing = true;
    if (due.attempts >= (this.#options.attemptsMax ?? ATTEMPTS_MAX)) {
      this.#waiting.delete(due.id);
      this.#count('given-up');
      const fields = { receiver, reason, image: due.gap.image, attempts: due.attempts };
      this.#options.log(
        'error',
        'gap-webhook-gave-up',
        'gave up an event: MetaHub sends it again after the next start',
        fields,
      );
      return;
    }
    const pauseMs = this.#pauseMs(due.attempts, delivery.retryAfterMs);
    due.dueMs = performance.now() + pauseMs;
    await turns?.keep(due.gap, pauseMs);
  }

  /**
   * Multiplies the pause by four with each attempt, and varies it by 20 %, so that mirrors do not all send at
   * the same time.
   */
  #pauseMs(attempts: number, retryAfter: number): number {
    const { retryMs = RETRY_MS } = this.#options;
    const pause = Math.min(retryMs * RETRY_FACTOR ** (attempts - 1), RETRY_MAX_MS);
    return Math.max(pause * (0.8 + 0.4 * Math.random()), retryAfter);
  }

  /** Sends an event. Any status but 2xx is a failure, including redirects. */
  async #deliver({ id, gap }: Waiting): Promise<Delivery> {
    const { url, source, transport, secretFile, now, timeoutMs = TIMEOUT_MS } = this.#options;
    try {
      const body = JSON.stringify(cloudEventOf(id, source, gap));
      const secrets = await readWebhookSecrets(secretFile);
      const timeout = AbortSignal.timeout(timeoutMs);
      const reply = await transport.send({
        method: 'POST',
        url,
        headers: {
          'content-type': 'application/cloudevents+json; charset=utf-8',
          'content-length': String(Buffer.byteLength(body)),
          'user-agent': USER_AGENT,
          ...signatureHeaders({ id, body, sentS: Math.floor(now() / 1000) }, secrets),
        },
        body,
        headMs: timeoutMs,
        signal: AbortSignal.any([timeout, this.#closing.signal]),
      });
      const { status, headers } = reply;
      // The body is read only to keep the connection open.
      await readBody(reply, ANSWER_MAX_BYTES, timeoutMs).catch(() => {});
      if (status >= 200 && status < 300) return { kind: 'delivered' };
      const retryAfter = Math.min(parseRetryAfterMs(headers['retry-after']) ?? 0, RETRY_MAX_MS);
      return { kind: 'failed', why: `it answers ${status}`, retryAfterMs: retryAfter };
    } catch (error) {
      const { message } = error instanceof WebhookSecretError ? error : fromNetworkError(error, url.host);
      return { kind: 'failed', why: message, retryAfterMs: 0 };
    }
  }
}

/**
 * Checks the settings of a webhook at the URL `gapWebhook`; returns the function that opens it.
 * @throws {UserError} when its secret is missing or unusable.
 */
export async function prepareGapWebhook(
  gapWebhook: string,
  { gapWebhookSecret: secretFile, siteUrl }: WebhookValues,
  { log, events, turns }: Pick<GapWebhookOptions, 'log' | 'events' | 'turns'>,
): Promise<() => GapWebhook> {
  if (secretFile === undefined) {
    throw new UserError('--gap-webhook needs a secret to sign its events with', {
      nextStep: 'Name its file: --gap-webhook-secret FILE. See docs/gaps.md.',
      exitStatus: 2,
    });
  }
  await readWebhookSecrets(secretFile).catch((cause: Error) => {
    throw new UserError(cause.message, { cause, nextStep: 'See “Events of new gaps” in docs/gaps.md.' });
  });
  const url = new URL(gapWebhook);
  if (url.protocol !== 'https:' && !isLoopback(url.hostname)) {
    const message = 'events of gaps contain names of images and cross the network in clear text: use https';
    log('warning', 'gap-webhook-in-clear', message, { receiver: url.origin });
  }
  const source = siteUrl ?? `//${hostname()}`;
  return () => {
    const { transport } = openConnection(url.origin);
    return new GapWebhook({ url, secretFile, source, transport, log, events, turns, now: Date.now });
  };
}
