import { createHmac } from 'node:crypto';
import * as v from 'valibot';
import type { Log } from '../lib/log.ts';
import type { Schema } from '../lib/schema.ts';
import { createSealer, type Sealer } from '../lib/seal.ts';
import type { ClaimResult, Patience, SharedState } from '../lib/shared-state.ts';
import type { KeyValueStore } from './key-value-store.ts';
import {
  BEAT,
  MESSAGE_MAX_BYTES,
  parseBy,
  SHARED_TIMES,
  type SharedTimes,
  VALUE_MAX_BYTES,
} from './sealed-format.ts';
import { SealedMessages } from './sealed-messages.ts';

/**
 * The result of an operation. `invalid`: no replica has written the value. `skipped`: the state is down, or
 * the value too large.
 */
export type SharedResult = 'ok' | 'miss' | 'invalid' | 'timeout' | 'failed' | 'skipped';
export type SharedOperation = 'get' | 'set' | 'claim' | 'publish' | 'receive';

export interface SealedStateOptions {
  readonly store: KeyValueStore;
  /** The secret of the site's replicas, which seals everything that they share. */
  readonly secret: Uint8Array;
  /** The address for the log, without the password. */
  readonly place: string;
  readonly log: Log;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  readonly onResult?: (operation: SharedOperation, result: SharedResult) => void;
  readonly times?: Partial<SharedTimes>;
}

const VERSION = 2;
/** Whatever a replica has claimed with. */
const HOLDER = v.custom((value) => value !== undefined);
/** Topic of the message that says that a replica could not publish another one. */
const MISSED = 'missed';

class SealedState implements SharedState {
  readonly #options: SealedStateOptions;
  readonly #times: SharedTimes;
  readonly #sealer: Sealer;
  /** Prefix of keys and channel. It is derived from the secret, so that sites do not see each other. */
  readonly #prefix: string;
  readonly #messages: SealedMessages;
  readonly #receivers = new Map<string, (body: unknown, from: string) => void>();
  readonly #onReturn: (() => void)[] = [];
  readonly #timer: NodeJS.Timeout;
  #heardMs: number | undefined;
  #beatMs = 0;
  #secondBeat: NodeJS.Timeout | undefined;
  #reconnectedMs: number;
  /** True when an operation took too long. Requests do not wait again before the next beat arrives. */
  #isSlow = false;
  /** True when the other replicas have missed a message of this one. */
  #hasMissed = false;
  /** Undefined: before the first beat. */
  #isUp: boolean | undefined;

  constructor(options: SealedStateOptions) {
    const { secret, store, now } = options;
    this.#options = options;
    this.#times = { ...SHARED_TIMES, ...options.times };
    this.#sealer = createSealer('metahub shared state', secret);
    const site = createHmac('sha256', secret).update('metahub shared state').digest('hex').slice(0, 16);
    this.#prefix = `metahub:v${VERSION}:${site}`;
    this.#messages = new SealedMessages(this.#sealer, this.#prefix, now);
    this.#reconnectedMs = now();
    store.listen(this.#prefix, (sealed) => this.#receive(sealed));
    this.#timer = setInterval(() => this.#beat(), this.#times.beatMs).unref();
    this.#beat();
  }

  get trouble(): string | undefined {
    if (this.#isUp === true) return undefined;
    return this.#options.store.failure ?? 'it does not answer';
  }

  async get<T>(key: string, schema: Schema<T>, patience: Patience = 'request'): Promise<T | undefined> {
    const name = `${this.#prefix}:${key}`;
    if (this.#isSkipped(patience)) {
      this.#count('get', 'skipped');
      return undefined;
    }
    // Of a longer value only a part is read, which cannot be opened.
    const read = this.#options.store.get(name, VALUE_MAX_BYTES);
    const sealed = await this.#finish('get', this.#budgetOf(patience), read, (value) =>
      value === undefined ? 'miss' : undefined,
    );
    if (sealed === undefined) return undefined;
    const value = parseBy(this.#sealer.open(sealed, name), schema);
    this.#count('get', value === undefined ? 'invalid' : 'ok');
    return value;
  }

  async set(key: string, value: unknown, ttlMs: number, patience: Patience = 'request'): Promise<boolean> {
    const name = `${this.#prefix}:${key}`;
    const sealed = this.#sealer.seal(JSON.stringify(value), name);
    if (sealed.length > VALUE_MAX_BYTES || this.#isUp !== true) {
      this.#count('set', 'skipped');
      return false;
    }
    return this.#send('set', patience, this.#options.store.set(name, sealed, ttlMs));
  }

  async claim(
    key: string,
    value: unknown,
    ttlMs: number,
    patience: Patience = 'request',
  ): Promise<ClaimResult> {
    const name = `${this.#prefix}:${key}`;
    const sealed = this.#sealer.seal(JSON.stringify(value), name);
    if (sealed.length > VALUE_MAX_BYTES || this.#isSkipped(patience)) {
      this.#count('claim', 'skipped');
      return 'unknown';
    }
    const claiming = this.#options.store.setIfAbsent(name, sealed, ttlMs);
    const isSet = await this.#finish('claim', this.#budgetOf(patience), claiming, () => 'ok');
    if (isSet === true) return 'claimed';
    // Whoever writes the store can set the key, but not what a replica has sealed.
    const holder = isSet === false ? await this.get(key, HOLDER, patience) : undefined;
    return holder === undefined ? 'unknown' : 'taken';
  }

  async publish(topic: string, body: unknown): Promise<void> {
    const message = this.#messages.seal(topic, body);
    if (message.length > MESSAGE_MAX_BYTES || this.#isUp !== true) {
      this.#hasMissed = true;
      this.#count('publish', 'skipped');
      return;
    }
    const sending = this.#options.store.publish(this.#prefix, message).catch((error: unknown) => {
      this.#hasMissed = true;
      throw error;
    });
    await this.#send('publish', 'request', sending);
  }

  subscribe<T>(topic: string, schema: Schema<T>, receive: (body: T, from: string) => void): void {
    this.#receivers.set(topic, (body, from) => {
      const { success, output } = v.safeParse(schema, body);
      this.#count('receive', success ? 'ok' : 'invalid');
      if (success) receive(output, from);
    });
  }

  onReturn(callback: () => void): void {
    this.#onReturn.push(callback);
    if (this.#isUp === true) queueMicrotask(callback);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#endReturn();
    await this.#options.store.close();
  }

  #count(operation: SharedOperation, result: SharedResult): void {
    this.#options.onResult?.(operation, result);
  }

  /** Waits for an operation unless Redis is slow. Resolves to true when it has succeeded. */
  async #send(operation: SharedOperation, patience: Patience, sending: Promise<void>): Promise<boolean> {
    if (patience === 'request' && this.#isSlow) {
      this.#count(operation, 'timeout');
      sending.catch(() => {});
      return false;
    }
    const work = sending.then(() => true);
    return (await this.#finish(operation, this.#budgetOf(patience), work, () => 'ok')) ?? false;
  }

  #isSkipped(patience: Patience): boolean {
    return this.#isUp !== true || (this.#isSlow && patience === 'request');
  }

  #budgetOf(patience: Patience): number {
    return patience === 'background' ? this.#times.backgroundMs : this.#times.budgetMs;
  }

  async #finish<T>(
    operation: SharedOperation,
    budgetMs: number,
    work: Promise<T>,
    resultOf: (value: T) => SharedResult | undefined,
  ): Promise<T | undefined> {
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<'timeout'>((resolve) => {
      timer = setTimeout(resolve, budgetMs, 'timeout');
    });
    const attempt = work.then(
      (value) => ({ value }),
      () => 'failed' as const,
    );
    const outcome = await Promise.race([attempt, timeout]);
    clearTimeout(timer);
    if (typeof outcome === 'string') {
      if (outcome === 'timeout') this.#isSlow = true;
      this.#count(operation, outcome);
      return undefined;
    }
    const result = resultOf(outcome.value);
    if (result !== undefined) this.#count(operation, result);
    return outcome.value;
  }

  /** Publishes a message to itself. Its return proves that commands and messages get through. */
  #beat(): void {
    const { store, now } = this.#options;
    const { lostMs, silentMs } = this.#times;
    const silenceMs = now() - (this.#heardMs ?? this.#reconnectedMs);
    if (silenceMs >= lostMs) this.#lose();
    if (now() - Math.max(this.#heardMs ?? 0, this.#reconnectedMs) >= silentMs) {
      this.#reconnectedMs = now();
      store.reconnect();
    }
    this.#sendBeat();
  }

  #sendBeat(): void {
    this.#beatMs = this.#options.now();
    this.#options.store.publish(this.#prefix, this.#messages.seal(BEAT, null)).catch(() => {
      // Without a connection the beat cannot return.
      if (this.#isUp === true) this.#lose();
    });
  }

  /** Each replica must hear the other's beat before it can accept its messages. */
  #greet(): void {
    if (this.#options.now() - this.#beatMs >= this.#times.greetMs) this.#sendBeat();
  }

  #lose(): void {
    this.#endReturn();
    if (this.#isUp === false) return;
    this.#isUp = false;
    const { log, place } = this.#options;
    log('warning', 'shared-state-lost', 'cannot reach the shared state: this replica continues alone', {
      place,
      reason: this.trouble,
    });
  }

  #hearOwnBeat(): void {
    this.#heardMs = this.#options.now();
    this.#isSlow = false;
    if (this.#isUp !== true) this.#return();
    if (this.#isUp !== true) return;
    if (!this.#hasMissed) return;
    this.#hasMissed = false;
    void this.publish(MISSED, null);
  }

  /** Up at the second beat: the others answer the first one, and accept messages from then on. */
  #return(): void {
    if (this.#secondBeat === undefined) {
      this.#secondBeat = setTimeout(() => this.#sendBeat(), this.#times.greetMs).unref();
      return;
    }
    this.#endReturn();
    this.#isUp = true;
    const { log, place } = this.#options;
    log('notice', 'shared-state-reached', 'reached the shared state', { place });
    this.#catchUp();
  }

  #endReturn(): void {
    clearTimeout(this.#secondBeat);
    this.#secondBeat = undefined;
  }

  #catchUp(): void {
    for (const callback of this.#onReturn) callback();
  }

  #receive(sealed: string): void {
    const received = this.#messages.open(sealed);
    if (received.kind === 'own-beat') this.#hearOwnBeat();
    else if (received.kind === 'stranger') this.#greet();
    else if (received.kind === 'invalid') this.#count('receive', 'invalid');
    if (received.kind !== 'accepted') return;
    const { topic, body, from, missed } = received;
    if ((missed || topic === MISSED) && this.#isUp === true) this.#catchUp();
    this.#receivers.get(topic)?.(body, from);
  }
}

/**
 * Opens a {@link SharedState} on a store that may fail, be slow and return forged values. Seals values and
 * messages, so that only replicas with the same secret can read, change or create them.
 */
export function openSealedState(options: SealedStateOptions): SharedState {
  return new SealedState(options);
}
