import { createHash } from 'node:crypto';
import { access, constants } from 'node:fs/promises';
import { whyUnreadable } from '../../lib/config-error.ts';
import type { Log } from '../../lib/log.ts';
import type { TailoringDecision } from '../../mirror/tailored.ts';
import { formatPlatform } from '../../oci/manifest.ts';
import { formatReference } from '../../oci/reference.ts';
import { FIT_KINDS, type FitKind } from '../../selection/assessment.ts';
import type { Gap } from '../../selection/gap-schema.ts';
import type { Metrics } from '../../server/metrics.ts';
import { readGaps, writeGaps } from '../gap-file.ts';

/** Counts the pulls that another build would have served better, and the fit of every pull. */
export interface GapRecord {
  readonly note: (decision: TailoringDecision) => void;
  /** In no particular order. */
  gaps(): readonly Gap[];
  /** Offers all present and future gaps to the webhook, except those that it has delivered. */
  announce(): void;
  /** Saves pending changes, and stops. */
  close(): Promise<void>;
}

/** Receives each gap of an image with variants until it calls `done`, also after a restart. */
interface GapListener {
  readonly offer: (gap: Gap, done: () => void) => void;
  /** Call it for a gap whose event a receiver accepted in an earlier run. */
  readonly remember: (gap: Gap) => void;
  close(): Promise<void>;
}

export interface GapRecordOptions {
  /** The data directory. */
  readonly data: string;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly now: () => Date;
  readonly webhook?: GapListener | undefined;
}

/** Maximum number of gaps. The record evicts the least recently seen one. */
const GAPS_MAX = 1_000;
/** Maximum number of kinds of hosts per gap. */
const HOSTS_MAX = 64;
const SAVE_EVERY_MS = 60_000;
/** How soon a delivered gap is saved, in milliseconds. A crash before that delivers it again. */
const SAVE_ANNOUNCED_MS = 1_000;

interface Counted extends Omit<Gap, 'hosts' | 'pulls' | 'lastAt' | 'notifiedAt'> {
  pulls: number;
  lastAt: string;
  notifiedAt?: string;
  readonly hosts: Set<string>;
}

function keyOf({ image, fit, platform, wanted }: Pick<Gap, 'image' | 'fit' | 'platform' | 'wanted'>): string {
  return JSON.stringify([image, fit, platform, wanted]);
}

function gapOf({ hosts, ...gap }: Counted): Gap {
  return { ...gap, hosts: [...hosts] };
}

/** Adds up the records of several replicas. */
export function mergeGaps(records: readonly (readonly Gap[])[]): readonly Gap[] {
  const merged = new Map<string, Gap>();
  for (const gap of records.flat()) {
    const key = keyOf(gap);
    const before = merged.get(key);
    if (before === undefined) {
      merged.set(key, gap);
      continue;
    }
    const [older, newer] = before.lastAt < gap.lastAt ? [before, gap] : [gap, before];
    merged.set(key, {
      ...newer,
      pulls: older.pulls + newer.pulls,
      hosts: [...new Set([...older.hosts, ...newer.hosts])].slice(0, HOSTS_MAX),
      firstAt: [older.firstAt, newer.firstAt].sort()[0] ?? older.firstAt,
    });
  }
  return [...merged.values()];
}

/** Returns the id of a kind of hosts: those with the same features. */
function hostIdOf({ profile }: TailoringDecision): string {
  return createHash('sha256').update(JSON.stringify(profile.features)).digest('hex').slice(0, 16);
}

class GapTable implements GapRecord {
  readonly #options: GapRecordOptions;
  /** The least recently seen first. */
  readonly #gaps = new Map<string, Counted>();
  readonly #fits: Readonly<Record<FitKind, { add(): void }>>;
  #timer: NodeJS.Timeout | undefined;
  /** When the timer fires, in monotonic milliseconds. */
  #saveAtMs = 0;
  #isAnnouncing = false;
  #saving = Promise.resolve();

  constructor(options: GapRecordOptions, known: readonly Gap[]) {
    this.#options = options;
    for (const { hosts, notifiedAt, ...gap } of known) {
      const notified = notifiedAt === undefined ? {} : { notifiedAt };
      this.#gaps.set(keyOf(gap), { ...gap, ...notified, hosts: new Set(hosts) });
    }
    const counter = options.metrics.counter(
      'metahub_pull_fit_total',
      'Answers to tags of images with an index, by how close the entry comes to the host.',
      ['fit'],
      FIT_KINDS.map((kind) => [kind]),
    );
    const child = (kind: FitKind) => counter.child(kind);
    this.#fits = {
      exact: child('exact'),
      older: child('older'),
      generic: child('generic'),
      refused: child('refused'),
    };
  }

  readonly note = (decision: TailoringDecision): void => {
    const { fit, repository, tag, chosen, profile, isCheck } = decision;
    if (fit === undefined || isCheck) return;
    this.#fits[fit.kind].add();
    if (fit.kind === 'exact' || fit.wanted.length === 0) return;
    const at = this.#options.now().toISOString();
    const image = formatReference(repository, { kind: 'tag', tag });
    const platform = formatPlatform({ os: profile.platform.os, architecture: profile.platform.architecture });
    const gap = { image, fit: fit.kind, platform, wanted: fit.wanted };
    const key = keyOf(gap);
    const known = this.#gaps.get(key);
    const counted: Counted = known ?? {
      ...gap,
      isMarked: fit.isMarked,
      served: chosen?.demands ?? null,
      pulls: 0,
      hosts: new Set(),
      firstAt: at,
      lastAt: at,
    };
    counted.pulls += 1;
    counted.lastAt = at;
    if (counted.hosts.size < HOSTS_MAX) counted.hosts.add(hostIdOf(decision));
    this.#gaps.delete(key);
    this.#gaps.set(key, counted);
    const [oldest] = this.#gaps.keys();
    if (this.#gaps.size > GAPS_MAX && oldest !== undefined) this.#gaps.delete(oldest);
    this.#saveWithin(SAVE_EVERY_MS);
    if (known === undefined) this.#announce(counted);
  };

  gaps(): readonly Gap[] {
    return [...this.#gaps.values()].map(gapOf);
  }

  announce(): void {
    this.#isAnnouncing = true;
    for (const counted of this.#gaps.values()) this.#announce(counted);
  }

  #announce(counted: Counted): void {
    if (!this.#isAnnouncing || !counted.isMarked) return;
    if (counted.notifiedAt !== undefined) {
      this.#options.webhook?.remember(gapOf(counted));
      return;
    }
    this.#options.webhook?.offer(gapOf(counted), () => {
      counted.notifiedAt = this.#options.now().toISOString();
      this.#saveWithin(SAVE_ANNOUNCED_MS);
    });
  }

  #saveWithin(ms: number): void {
    const atMs = performance.now() + ms;
    if (this.#timer !== undefined && this.#saveAtMs <= atMs) return;
    clearTimeout(this.#timer);
    this.#saveAtMs = atMs;
    this.#timer = setTimeout(() => void this.#save(), ms).unref();
  }

  async close(): Promise<void> {
    await this.#options.webhook?.close();
    if (this.#timer !== undefined) await this.#save();
    await this.#saving;
  }

  /** Saves the record. Logs a failed write: the counts stay in memory, and pulls continue. */
  #save(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#saving = this.#saving.then(async () => {
      const { data, log } = this.#options;
      try {
        await writeGaps(data, this.gaps());
      } catch (error) {
        log('info', 'gaps-not-kept', 'cannot save the record of gaps', {
          reason: (error as Error).message,
        });
      }
    });
    return this.#saving;
  }
}

/** Opens the record and continues that of the last run. Logs and replaces an unreadable file. */
export async function openGapRecord(options: GapRecordOptions): Promise<GapRecord> {
  return new GapTable(options, await loadGaps(options));
}

async function loadGaps({ data, log }: GapRecordOptions): Promise<readonly Gap[]> {
  try {
    return await readGaps(data);
  } catch (error) {
    // The store reports a directory that this user may not enter.
    const isClosed = await access(data, constants.X_OK).then(
      () => false,
      () => true,
    );
    if (isClosed) return [];
    log('warning', 'gaps-unreadable', 'cannot read the record of gaps: it starts again from zero', {
      reason: whyUnreadable(error),
    });
    return [];
  }
}
