import { CHECK_PURPOSE } from '../../lib/http.ts';
import type { Log, LogFields } from '../../lib/log.ts';
import type { ForeignDerived } from '../../mirror/derived-search.ts';
import type { TailoringDecision } from '../../mirror/tailored.ts';
import { formatReference, type ManifestReference, type Repository } from '../../oci/reference.ts';
import type { Registry, RequestOptions } from '../../oci/registry.ts';
import { RegistryError } from '../../oci/registry-error.ts';
import { NOTE_CODES } from '../../selection/assessment.ts';
import type { Metrics } from '../../server/metrics.ts';
import { PULL_VERDICTS, type PullVerdict, type RecentDecision } from '../../server/status-facts.ts';
import type { TagDecision } from '../../site/pull-record.ts';

/** Records decisions: a log line for each, counters, and the latest ones for the status page. */
export interface DecisionLog {
  readonly startedAt: Date;
  record(decision: TailoringDecision): void;
  /** Wraps a registry so that its failures to answer tags are recorded, too. */
  recordFailures(registry: Registry): Registry;
  /** The latest first. */
  latest(): readonly RecentDecision[];
  totals(): Readonly<Record<PullVerdict, number>>;
  /** Calls back after every decision and failure. */
  onAdded(callback: () => void): void;
}

export const LATEST_MAX = 200;

function fieldsOf(image: string, decision: TailoringDecision): LogFields {
  const { answer, reason, upstreamDigest, servedDigest, chosen, host, durationMs, isCheck } = decision;
  return {
    image,
    answer,
    reason,
    host,
    chosen: chosen?.digest,
    upstream: upstreamDigest,
    served: servedDigest,
    ms: Math.round(durationMs * 10) / 10,
    ...(isCheck ? { purpose: CHECK_PURPOSE } : {}),
  };
}

/** True when there were entries for the platform, but the host can run none of them. */
function isRefusal({ answer, chosen }: TailoringDecision): boolean {
  return answer === 'refused' || (answer === 'derived' && chosen === undefined);
}

function verdictOf(decision: TailoringDecision): PullVerdict {
  const { answer, chosen } = decision;
  if (isRefusal(decision)) return 'refused';
  if (chosen !== undefined && chosen.demands !== '') return 'fitted';
  // Entries were removed, and the remaining entry demands nothing.
  return answer === 'original' ? 'unchanged' : 'generic';
}

/** Returns a decision as a site records it for each of its logins. */
export function tagDecisionOf(decision: TailoringDecision): TagDecision {
  const { chosen, reason, notes, fit } = decision;
  const texts = notes.map(({ text }) => text);
  return { verdict: verdictOf(decision), entry: chosen?.demands, reason, notes: texts, fit: fit?.kind };
}

/**
 * True when the registry failed; false when it has no such tag. A refusal is recorded as a decision, not as a
 * failure.
 */
function isFailure(error: unknown): error is RegistryError {
  return error instanceof RegistryError && error.status !== 404;
}

export interface DecisionLogOptions {
  readonly log: Log;
  readonly now: () => Date;
  readonly metrics: Metrics;
}

/** The counters of decisions. */
function registerDecisionMetrics(metrics: Metrics) {
  return {
    answers: metrics.counter(
      'metahub_decisions_total',
      'Answers to tags, by kind of answer.',
      ['answer'],
      ['original', 'derived', 'entry', 'refused'].map((answer) => [answer]),
    ),
    refusals: metrics
      .counter('metahub_refusals_total', 'Answers to tags of images without an entry that runs on the host.')
      .child(),
    notes: metrics.counter(
      'metahub_decision_notes_total',
      'Answers to tags with a note: an accelerator that is not used, a GPU newer than the entries, a suspected baseline.',
      ['code'],
      NOTE_CODES.map((code) => [code]),
    ),
    verdicts: metrics.counter(
      'metahub_pulls_total',
      'Answers to tags, by verdict: how the entry suits the host.',
      ['verdict'],
      PULL_VERDICTS.map((verdict) => [verdict]),
    ),
  };
}

class MemoryDecisionLog implements DecisionLog {
  readonly startedAt: Date;
  readonly #log: Log;
  readonly #now: () => Date;
  readonly #counters: ReturnType<typeof registerDecisionMetrics>;
  readonly #latest: RecentDecision[] = [];
  readonly #callbacks: (() => void)[] = [];
  readonly #totals: Record<PullVerdict, number> = {
    fitted: 0,
    generic: 0,
    unchanged: 0,
    refused: 0,
    failed: 0,
  };

  constructor({ log, now, metrics }: DecisionLogOptions) {
    this.#log = log;
    this.#now = now;
    this.#counters = registerDecisionMetrics(metrics);
    this.startedAt = now();
  }

  record(decision: TailoringDecision): void {
    const { repository, tag, answer, reason, servedDigest, chosen, notes, host, isCheck } = decision;
    const image = formatReference(repository, { kind: 'tag', tag });
    const isGood = servedDigest !== undefined && !isRefusal(decision);
    this.#log(isGood ? 'info' : 'warning', 'decided', 'decided', fieldsOf(image, decision));
    if (isCheck) return;
    this.#counters.answers.child(answer).add();
    if (isRefusal(decision)) this.#counters.refusals.add();
    for (const { code, text } of notes) {
      this.#log('warning', code, text, { image, host });
      this.#counters.notes.child(code).add();
    }
    // An answer that could not be delivered is recorded as a failure, with its error.
    if (servedDigest === undefined && !isRefusal(decision)) return;
    this.#add({
      image,
      verdict: verdictOf(decision),
      digest: servedDigest ?? '',
      entry: chosen?.demands,
      reason,
      notes: notes.map(({ text }) => text),
    });
  }

  recordFailures(registry: Registry): Registry {
    return {
      ...registry,
      resolve: (repository, reference, options) =>
        this.#noticingFailure(
          repository,
          reference,
          options,
          registry.resolve(repository, reference, options),
        ),
      manifest: (repository, reference, options) =>
        this.#noticingFailure(
          repository,
          reference,
          options,
          registry.manifest(repository, reference, options),
        ),
    };
  }

  latest(): readonly RecentDecision[] {
    return this.#latest;
  }

  totals(): Readonly<Record<PullVerdict, number>> {
    return { ...this.#totals };
  }

  onAdded(callback: () => void): void {
    this.#callbacks.push(callback);
  }

  #add(decision: Omit<RecentDecision, 'at'>): void {
    this.#counters.verdicts.child(decision.verdict).add();
    this.#totals[decision.verdict] += 1;
    this.#latest.unshift({ at: this.#now(), ...decision });
    this.#latest.length = Math.min(this.#latest.length, LATEST_MAX);
    for (const callback of this.#callbacks) callback();
  }

  async #noticingFailure<T>(
    repository: Repository,
    reference: ManifestReference,
    { isCheck = false }: RequestOptions = {},
    answering: Promise<T>,
  ): Promise<T> {
    try {
      return await answering;
    } catch (error) {
      if (!isCheck && reference.kind === 'tag' && isFailure(error)) {
        const image = formatReference(repository, reference);
        this.#add({ image, verdict: 'failed', digest: '', reason: error.message });
      }
      throw error;
    }
  }
}

export function createDecisionLog(options: DecisionLogOptions): DecisionLog {
  return new MemoryDecisionLog(options);
}

export interface ForeignLogOptions {
  readonly log: Log;
  readonly metrics: Metrics;
}

/** Logs and counts requests for indexes that were derived for another kind of host. */
export function createForeignLog({ log, metrics }: ForeignLogOptions): (foreign: ForeignDerived) => void {
  const total = metrics.counter(
    'metahub_foreign_derived_total',
    'Requests for indexes derived for another kind of host, by result.',
    ['answer'],
    [['delivered'], ['refused']],
  );
  return ({ repository, digest, tag, upstreamDigest, platform, demands, runsHere, isDelivered, host }) => {
    total.child(isDelivered ? 'delivered' : 'refused').add();
    const message = `${isDelivered ? 'delivered' : 'refused'} an index derived for another kind of host`;
    log(runsHere ? 'info' : 'warning', 'foreign-derived', message, {
      image: formatReference(repository, { kind: 'digest', digest }),
      derivedFrom: `:${tag}`,
      upstream: upstreamDigest,
      platform,
      demands,
      host,
      runsHere,
    });
  };
}
