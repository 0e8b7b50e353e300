import { createHash } from 'node:crypto';
import type { Log } from '../../lib/log.ts';
import type { TailoringDecision } from '../../mirror/tailored.ts';
import { formatPlatform } from '../../oci/manifest.ts';
import { formatReference } from '../../oci/reference.ts';
import { FIT_KINDS, type FitKind } from '../../selection/fit.ts';
import type { Metrics } from '../../server/metrics.ts';
import { readGaps, writeGaps } from '../gap-file.ts';
import type { Gap } from '../gap-schema.ts';

/** Pulls that another build of an image would have served better, added up; and how every pull fitted. */
export interface GapRecord {
  readonly note: (decision: TailoringDecision) => void;
  /** In no order. */
  gaps(): readonly Gap[];
  /** Saves what is not saved yet, and stops. */
  close(): Promise<void>;
}

export interface GapRecordOptions {
  /** The data directory. */
  readonly data: string;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly now: () => Date;
}

/** The gap that has not been seen for the longest time gives way. */
const GAPS_MAX = 1_000;
/** Kinds of hosts that are told apart in one gap; more count as this many. */
const HOSTS_MAX = 64;
const SAVE_EVERY_MS = 60_000;

interface Counted extends Omit<Gap, 'hosts' | 'pulls' | 'lastAt'> {
  pulls: number;
  lastAt: string;
  readonly hosts: Set<string>;
}

function keyOf({ image, fit, platform, wanted }: Pick<Gap, 'image' | 'fit' | 'platform' | 'wanted'>): string {
  return JSON.stringify([image, fit, platform, wanted]);
}

/** Hosts with the same profile are one kind. */
function hostIdOf({ profile }: TailoringDecision): string {
  return createHash('sha256').update(JSON.stringify(profile.features)).digest('hex').slice(0, 16);
}

class GapTable implements GapRecord {
  readonly #options: GapRecordOptions;
  /** In the order in which they were last seen. */
  readonly #gaps = new Map<string, Counted>();
  readonly #fits: Readonly<Record<FitKind, { add(): void }>>;
  #timer: NodeJS.Timeout | undefined;
  #saving = Promise.resolve();

  constructor(options: GapRecordOptions, known: readonly Gap[]) {
    this.#options = options;
    for (const { hosts, ...gap } of known) this.#gaps.set(keyOf(gap), { ...gap, hosts: new Set(hosts) });
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
    const { fit, repository, tag, chosen, profile } = decision;
    if (fit === undefined) return;
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
    this.#timer ??= setTimeout(() => void this.#save(), SAVE_EVERY_MS).unref();
  };

  gaps(): readonly Gap[] {
    return [...this.#gaps.values()].map(({ hosts, ...gap }) => ({ ...gap, hosts: [...hosts] }));
  }

  async close(): Promise<void> {
    if (this.#timer !== undefined) await this.#save();
    await this.#saving;
  }

  /** A disk that refuses hinders no pull: what was counted stays in memory. */
  #save(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#saving = this.#saving.then(async () => {
      const { data, log } = this.#options;
      try {
        await writeGaps(data, this.gaps());
      } catch (error) {
        log('info', 'gaps-not-kept', 'the record of gaps is not kept for a later start', {
          reason: (error as Error).message,
        });
      }
    });
    return this.#saving;
  }
}

/** Goes on where the last run left off; a file that cannot be read is replaced, and the log says so. */
export async function openGapRecord(options: GapRecordOptions): Promise<GapRecord> {
  return new GapTable(options, await knownGaps(options));
}

async function knownGaps({ data, log }: GapRecordOptions): Promise<readonly Gap[]> {
  try {
    return await readGaps(data);
  } catch (error) {
    log('warning', 'gaps-unreadable', 'the record of gaps begins anew', { reason: (error as Error).message });
    return [];
  }
}
