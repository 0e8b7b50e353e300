import type { Log, LogFields } from '../../lib/log.ts';
import type { ForeignDerived, TailoringDecision } from '../../mirror/tailored.ts';
import { formatReference, type ManifestReference, type Repository } from '../../oci/reference.ts';
import type { Registry } from '../../oci/registry.ts';
import { RegistryError } from '../../oci/registry-error.ts';
import { NOTE_CODES } from '../../selection/notes.ts';
import type { Metrics } from '../../server/metrics.ts';
import { PULL_VERDICTS, type PullVerdict, type RecentDecision } from '../../server/status-facts.ts';

/** Decisions as people and programs want them: a line of the log each, counters, and the latest for the status page. */
export interface DecisionLog {
  readonly startedAt: Date;
  readonly record: (decision: TailoringDecision) => void;
  /** The same registry; tags that it fails to answer are recorded as well. */
  recordFailures(registry: Registry): Registry;
  /** Latest first. */
  latest(): readonly RecentDecision[];
  totals(): Readonly<Record<PullVerdict, number>>;
}

const LATEST_MAX = 200;

function fieldsOf(image: string, decision: TailoringDecision): LogFields {
  const { answer, reason, upstreamDigest, servedDigest, chosen, host, durationMs } = decision;
  return {
    image,
    answer,
    reason,
    host,
    chosen: chosen?.digest,
    upstream: upstreamDigest,
    served: servedDigest,
    ms: Math.round(durationMs * 10) / 10,
  };
}

/** Entries for the platform there were, and none that runs on the host. */
function isRefusal({ answer, chosen }: TailoringDecision): boolean {
  return answer === 'refused' || (answer === 'derived' && chosen === undefined);
}

function verdictOf(decision: TailoringDecision): PullVerdict {
  const { answer, chosen } = decision;
  if (isRefusal(decision)) return 'refused';
  if (chosen !== undefined && chosen.demands !== '') return 'fitted';
  // Something was taken away, and what is left demands nothing.
  return answer === 'original' ? 'unchanged' : 'generic';
}

/** Did the registry fail, as opposed to having no such tag? What no entry fits has been recorded as a decision. */
function isFailure(error: unknown): error is RegistryError {
  return error instanceof RegistryError && error.status !== 404;
}

export interface DecisionLogOptions {
  readonly log: Log;
  readonly now: () => Date;
  readonly metrics: Metrics;
}

export function createDecisionLog({ log, now, metrics }: DecisionLogOptions): DecisionLog {
  const latest: RecentDecision[] = [];
  const totals: Record<PullVerdict, number> = { fitted: 0, generic: 0, unchanged: 0, refused: 0, failed: 0 };
  const answers = metrics.counter(
    'metahub_decisions_total',
    'Answers to tags, by kind of answer.',
    ['answer'],
    ['original', 'derived', 'entry', 'refused'].map((answer) => [answer]),
  );
  const refusals = metrics
    .counter('metahub_refusals_total', 'Answers to tags of images of which no entry runs on the host.')
    .child();
  const noted = metrics.counter(
    'metahub_decision_notes_total',
    'Answers to tags that leave something to be said: an accelerator that is not used, a GPU newer than the entries, a baseline that is suspected.',
    ['code'],
    NOTE_CODES.map((code) => [code]),
  );
  const verdicts = metrics.counter(
    'metahub_pulls_total',
    'Answers to tags, by how they suited the host.',
    ['verdict'],
    PULL_VERDICTS.map((verdict) => [verdict]),
  );

  function add(decision: Omit<RecentDecision, 'at'>): void {
    verdicts.child(decision.verdict).add();
    totals[decision.verdict] += 1;
    latest.unshift({ at: now(), ...decision });
    latest.length = Math.min(latest.length, LATEST_MAX);
  }

  async function noticingFailure<T>(
    repository: Repository,
    reference: ManifestReference,
    answering: Promise<T>,
  ): Promise<T> {
    try {
      return await answering;
    } catch (error) {
      if (reference.kind === 'tag' && isFailure(error)) {
        const image = formatReference(repository, reference);
        add({ image, verdict: 'failed', digest: '', reason: error.message });
      }
      throw error;
    }
  }

  return {
    startedAt: now(),
    record: (decision) => {
      const { repository, tag, answer, reason, servedDigest, chosen, notes, host } = decision;
      const image = formatReference(repository, { kind: 'tag', tag });
      const isGood = servedDigest !== undefined && !isRefusal(decision);
      log(isGood ? 'info' : 'warning', 'decided', 'decided', fieldsOf(image, decision));
      answers.child(answer).add();
      if (isRefusal(decision)) refusals.add();
      for (const { code, text } of notes) {
        log('warning', code, text, { image, host });
        noted.child(code).add();
      }
      // An answer that could not be delivered is recorded as a failure, with its error.
      if (servedDigest === undefined && !isRefusal(decision)) return;
      add({
        image,
        verdict: verdictOf(decision),
        digest: servedDigest ?? '',
        entry: chosen?.demands,
        reason,
        notes: notes.map(({ text }) => text),
      });
    },
    recordFailures: (registry) => ({
      ...registry,
      resolve: (repository, reference, options) =>
        noticingFailure(repository, reference, registry.resolve(repository, reference, options)),
      manifest: (repository, reference, options) =>
        noticingFailure(repository, reference, registry.manifest(repository, reference, options)),
    }),
    latest: () => latest,
    totals: () => ({ ...totals }),
  };
}

export interface ForeignLogOptions {
  readonly log: Log;
  readonly metrics: Metrics;
}

/** Logs and counts requests for what was derived for another kind of host. */
export function createForeignLog({ log, metrics }: ForeignLogOptions): (foreign: ForeignDerived) => void {
  const total = metrics.counter(
    'metahub_foreign_derived_total',
    'Digests derived for another kind of host that were asked for, by what was done.',
    ['answer'],
    [['delivered'], ['refused']],
  );
  return ({ repository, digest, tag, upstreamDigest, platform, demands, runsHere, isDelivered, host }) => {
    total.child(isDelivered ? 'delivered' : 'refused').add();
    const message = `${isDelivered ? 'delivered' : 'refused'} a digest that was derived for another kind of host`;
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
