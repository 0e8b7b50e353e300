import type { Log, LogFields } from '../../lib/log.ts';
import type { TailoringDecision } from '../../mirror/tailored.ts';
import { formatReference } from '../../oci/reference.ts';
import type { Metrics } from '../../server/metrics.ts';
import type { RecentDecision } from '../../server/status-page.ts';

/** Decisions as people and programs want them: a line of the log each, counters, and the latest for the status page. */
export interface DecisionLog {
  readonly startedAt: Date;
  readonly enter: (decision: TailoringDecision) => void;
  /** Latest first. */
  latest(): readonly RecentDecision[];
}

const LATEST_MAX = 50;

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

export interface DecisionLogOptions {
  readonly log: Log;
  readonly now: () => Date;
  readonly metrics: Metrics;
}

export function createDecisionLog({ log, now, metrics }: DecisionLogOptions): DecisionLog {
  const latest: RecentDecision[] = [];
  const total = metrics.counter('metahub_decisions_total', 'Answers to tags, by kind of answer.', ['answer']);
  const refusals = metrics
    .counter('metahub_refusals_total', 'Answers to tags of images of which no entry runs on the host.')
    .child();
  const noted = metrics.counter(
    'metahub_decision_notes_total',
    'Answers to tags that leave something to be said: an accelerator that is not used, a baseline that is suspected.',
    ['code'],
  );
  return {
    startedAt: now(),
    enter: (decision) => {
      const { repository, tag, answer, reason, servedDigest, chosen, notes, host } = decision;
      const image = formatReference(repository, { kind: 'tag', tag });
      const isGood = servedDigest !== undefined && !isRefusal(decision);
      log(isGood ? 'info' : 'warning', 'decided', 'decided', fieldsOf(image, decision));
      total.child(answer).add();
      if (isRefusal(decision)) refusals.add();
      for (const { code, text } of notes) {
        log('warning', code, text, { image, host });
        noted.child(code).add();
      }
      latest.unshift({
        at: now(),
        image,
        digest: servedDigest ?? '',
        entry: chosen?.demands,
        reason,
        notes: notes.map(({ text }) => text),
      });
      latest.length = Math.min(latest.length, LATEST_MAX);
    },
    latest: () => latest,
  };
}
