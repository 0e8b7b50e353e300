import { LRUCache } from 'lru-cache';
import * as v from 'valibot';
import { check } from '../lib/schema.ts';
import type { SharedState } from '../lib/shared-state.ts';
import {
  ANSWERS_MAX,
  answerKey,
  HOSTS_MAX,
  IMAGES_MAX,
  type PullRecord,
  type PullView,
  type RecordedAnswer,
  type SeenHost,
} from './pull-record.ts';
import { mergeHosts, type PullKind, ROW_KINDS, type RowOf, sumAnswers } from './pull-rows.ts';

/** The pulls that all replicas have recorded. */
export interface SharedPulls extends PullView {
  /** Publishes and stores pending changes. */
  close(): Promise<void>;
}

export interface SharedPullsTimes {
  /** How often the replica publishes changed rows, in milliseconds. */
  readonly publishMs: number;
  /** How often it stores them for replicas that start later, in milliseconds. */
  readonly storeMs: number;
}

const TIMES: SharedPullsTimes = { publishMs: 500, storeMs: 10_000 };
/** How long Redis keeps the rows after the last change, in milliseconds. */
const TTL_MS = 7 * 24 * 60 * 60_000;
/** Maximum size of a message's JSON, in bytes. Sealed, it is within the limit of the shared state. */
const MESSAGE_MAX_BYTES = 150_000;
const VALUE_MAX_BYTES = 700_000;

/**
 * Maximum number of rows that a replica keeps of all others; it shows fewer. `parts`: the number of values in
 * Redis.
 */
const KEPT: { readonly [Kind in PullKind]: { readonly max: number; readonly parts: number } } = {
  answers: { max: 4 * ANSWERS_MAX, parts: 8 },
  images: { max: 2 * IMAGES_MAX, parts: 64 },
  hosts: { max: 2 * HOSTS_MAX, parts: 16 },
};
const KINDS = Object.keys(KEPT) as readonly PullKind[];

const ROWS_MAX = 10_000;
const ROWS = v.pipe(v.array(v.unknown()), v.maxLength(ROWS_MAX));
const MESSAGE = v.object({ kind: v.picklist(['answers', 'images', 'hosts']), rows: ROWS });

/** FNV-1a: spreads keys over parts, in the same way at every replica. */
function partOf(key: string, parts: number): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < key.length; at += 1) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193);
  return (hash >>> 0) % parts;
}

/** Returns the rows by part, for each part that has any. */
function partition<Kind extends PullKind>(
  kind: Kind,
  rows: readonly RowOf<Kind>[],
): Map<number, RowOf<Kind>[]> {
  const found = new Map<number, RowOf<Kind>[]>();
  for (const row of rows) {
    const part = partOf(ROW_KINDS[kind].keyOf(row), KEPT[kind].parts);
    const known = found.get(part);
    if (known) known.push(row);
    else found.set(part, [row]);
  }
  return found;
}

/** True when the stored part lacks one of the known rows. */
function lacksRow<Kind extends PullKind>(
  kind: Kind,
  stored: readonly unknown[],
  known: readonly RowOf<Kind>[],
): boolean {
  const { keyOf } = ROW_KINDS[kind];
  const keys = new Set(stored.map((row) => keyOf((row ?? {}) as RowOf<Kind>)));
  return known.some((row) => !keys.has(keyOf(row)));
}

/** Divides rows into lists of at most `maxBytes` of JSON. Omits a row that is larger. */
function* batches<Row>(rows: readonly Row[], maxBytes: number): Generator<readonly Row[]> {
  let batch: Row[] = [];
  let bytes = 0;
  for (const row of rows) {
    const rowBytes = Buffer.byteLength(JSON.stringify(row)) + 1;
    if (rowBytes > maxBytes) continue;
    if (bytes + rowBytes > maxBytes || batch.length === ROWS_MAX) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(row);
    bytes += rowBytes;
  }
  if (batch.length > 0) yield batch;
}

/** The rows of one kind that other replicas, and earlier runs of this one, have recorded. */
class PeerRows<Kind extends PullKind> {
  readonly #kind: Kind;
  readonly #rows: LRUCache<string, RowOf<Kind> & object>;

  constructor(kind: Kind) {
    this.#kind = kind;
    this.#rows = new LRUCache({ max: KEPT[kind].max });
  }

  /** Merges rows that another replica has written. Ignores invalid ones. */
  add(written: readonly unknown[]): void {
    const { schema, keyOf, merge } = ROW_KINDS[this.#kind];
    for (const one of written) {
      const { output } = check(schema, one);
      if (output === undefined) continue;
      const key = keyOf(output);
      const known = this.#rows.get(key);
      this.#rows.set(key, known === undefined ? output : merge(known, output));
    }
  }

  all(): readonly RowOf<Kind>[] {
    return [...this.#rows.values()];
  }
}

/** Combines rows with the same key. */
function combined<Row>(rows: readonly Row[], keyOf: (row: Row) => string, combine: (a: Row, b: Row) => Row) {
  const found = new Map<string, Row>();
  for (const row of rows) {
    const known = found.get(keyOf(row));
    found.set(keyOf(row), known === undefined ? row : combine(known, row));
  }
  return [...found.values()];
}

/** Returns the `max` rows that changed last. */
function latestOf<Row extends { readonly lastMs: number }>(rows: readonly Row[], max: number) {
  return rows.length <= max ? rows : [...rows].sort((a, b) => b.lastMs - a.lastMs).slice(0, max);
}

/** Since when changes are pending. After the clock was set back, a later change may have any earlier time. */
const sinceOf = (doneMs: number, nowMs: number) => (nowMs < doneMs ? 0 : doneMs);

class PullSharing implements SharedPulls {
  readonly #own: PullRecord;
  readonly #state: SharedState;
  readonly #now: () => number;
  readonly #times: SharedPullsTimes;
  readonly #peers = {
    answers: new PeerRows('answers'),
    images: new PeerRows('images'),
    hosts: new PeerRows('hosts'),
  };
  readonly #timers: readonly NodeJS.Timeout[];
  /** Rows that changed before this time have been published. */
  #publishedMs = 0;
  /** Rows that changed before this time have been stored. */
  #storedMs = 0;
  /** True when Redis may have lost rows that other replicas have stored. */
  #storeAll = false;
  #storing: Promise<void> = Promise.resolve();

  constructor(own: PullRecord, state: SharedState, now: () => number, times: SharedPullsTimes) {
    this.#own = own;
    this.#state = state;
    this.#now = now;
    this.#times = times;
    state.subscribe('pulls', MESSAGE, ({ kind, rows }) => this.#add(kind, rows));
    state.subscribe('pulls wanted', v.null(), () => this.#publishAgain());
    // Stored again with the next changes instead of at once, so that replicas that return together do not
    // store at the same time.
    state.subscribe('pulls stored', v.null(), () => {
      this.#storeAll = true;
    });
    state.onReturn(() => this.#catchUp());
    this.#timers = [
      setInterval(() => void this.#publish(), times.publishMs).unref(),
      setInterval(() => this.#store(), times.storeMs).unref(),
    ];
  }

  latest(): readonly RecordedAnswer[] {
    const sorted = [...this.#own.latest(), ...this.#peers.answers.all()]
      .map((answer) => ({ answer, key: answerKey(answer) }))
      .sort((a, b) => (a.key < b.key ? -1 : 1));
    return sorted.slice(0, ANSWERS_MAX).map(({ answer }) => answer);
  }

  images(): readonly RecordedAnswer[] {
    const rows = [...this.#own.images(), ...this.#peers.images.all()];
    const images = combined(rows, ({ login, image }) => `${login} ${image}`, sumAnswers);
    return latestOf(images, IMAGES_MAX);
  }

  hosts(): readonly SeenHost[] {
    const rows = [...this.#own.hosts(), ...this.#peers.hosts.all()];
    return latestOf(combined(rows, ROW_KINDS.hosts.keyOf, mergeHosts), HOSTS_MAX);
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await this.#publish();
    this.#store();
    await this.#storing;
  }

  #add(kind: PullKind, written: readonly unknown[]): void {
    const isOwn = (row: unknown) => (row as RecordedAnswer | null)?.origin === this.#own.origin;
    this.#peers[kind].add(written.filter((row) => !isOwn(row)));
  }

  async #publish(): Promise<void> {
    if (this.#state.trouble !== undefined) return;
    const nowMs = this.#now();
    const changed = this.#own.changedSince(sinceOf(this.#publishedMs, nowMs));
    this.#publishedMs = nowMs;
    for (const kind of KINDS) {
      for (const rows of batches<object>(changed[kind], MESSAGE_MAX_BYTES)) {
        await this.#state.publish('pulls', { kind, rows });
      }
    }
  }

  /** Publishes again the rows that may not be stored yet. */
  #publishAgain(): void {
    this.#publishedMs = Math.min(this.#publishedMs, this.#now() - 3 * this.#times.storeMs);
  }

  #catchUp(): void {
    this.#publishAgain();
    this.#storeAll = true;
    void this.#state.publish('pulls wanted', null);
    this.#store();
  }

  #store(): void {
    this.#storing = this.#storing.then(() => this.#storeChanges());
  }

  /** Merges the changed rows, and all rows that this replica knows of the same parts, into the values in Redis. */
  async #storeChanges(): Promise<void> {
    if (this.#state.trouble !== undefined) return;
    const isAll = this.#storeAll;
    const nowMs = this.#now();
    const changed = this.#own.changedSince(sinceOf(this.#storedMs, nowMs));
    this.#storeAll = false;
    this.#storedMs = nowMs;
    let hasLacked = false;
    for (const kind of KINDS) {
      const { parts } = KEPT[kind];
      const touched = isAll
        ? Array.from({ length: parts }, (_, at) => at)
        : [...partition(kind, changed[kind]).keys()];
      hasLacked = (await this.#storeParts(kind, touched)) || hasLacked;
    }
    // Another replica may have read the parts before these rows were stored.
    if (isAll && hasLacked) await this.#state.publish('pulls stored', null);
  }

  /** Resolves to true when the values lacked a row that this replica has from another. */
  async #storeParts<Kind extends PullKind>(kind: Kind, touched: readonly number[]): Promise<boolean> {
    const keyOf = (part: number) => `pulls ${kind} ${part}`;
    const peers: { readonly all: () => readonly RowOf<Kind>[] } = this.#peers[kind];
    const known = partition(kind, peers.all());
    let hasLacked = false;
    // Read first: another replica, or an earlier run of this one, may have stored rows that this replica has
    // not received.
    for (const part of touched) {
      const stored = (await this.#state.get(keyOf(part), ROWS, 'background')) ?? [];
      hasLacked ||= lacksRow(kind, stored, known.get(part) ?? []);
      this.#add(kind, stored);
    }
    const rows = partition(kind, [...this.#own.changedSince(0)[kind], ...peers.all()]);
    for (const part of touched) {
      const sorted = (rows.get(part) ?? []).sort((a, b) => b.lastMs - a.lastMs);
      const [latest] = batches(sorted, VALUE_MAX_BYTES);
      if (latest !== undefined) await this.#state.set(keyOf(part), latest, TTL_MS, 'background');
    }
    return hasLacked;
  }
}

/**
 * Shares the record of pulls with the other replicas. Each publishes its changed rows, and stores them for
 * replicas that start later.
 * @param now milliseconds of the wall clock
 */
export function sharePulls(
  own: PullRecord,
  state: SharedState,
  now: () => number,
  times: Partial<SharedPullsTimes> = {},
): SharedPulls {
  return new PullSharing(own, state, now, { ...TIMES, ...times });
}
