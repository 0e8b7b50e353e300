import { expect, test } from 'vitest';
import { createDecisionLog } from '../../../src/cli/serve/decision-log.ts';
import type { TailoringDecision } from '../../../src/mirror/tailored.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { parseTag, type Tag } from '../../../src/oci/reference.ts';
import { createMetrics } from '../../../src/server/metrics.ts';
import { hostOf } from '../../support/host-of.ts';
import { repository } from '../../support/upstream.ts';

const DIGEST = digestOf(Buffer.from('an index'));

function decision(notes: TailoringDecision['notes']): TailoringDecision {
  return {
    repository: repository('qnib/bench', 'docker.io'),
    tag: parseTag('latest') as Tag,
    answer: 'derived',
    reason: 'entry 1 of 2 demands nothing',
    upstreamDigest: DIGEST,
    servedDigest: DIGEST,
    chosen: { digest: DIGEST, demands: '' },
    notes,
    fit: undefined,
    profile: hostOf('cpu:zen4'),
    host: 'zen4',
    durationMs: 1,
    isCheck: false,
  };
}

test('a note of a decision is a warning by its code, a count and a line of the status page', () => {
  const lines: (readonly [level: string, event: string, message: string])[] = [];
  const metrics = createMetrics();
  const book = createDecisionLog({
    log: (level, event, message) => lines.push([level, event, message]),
    now: () => new Date(0),
    metrics,
  });
  const text = "this host's accelerator (nvidia) is not used";
  book.record(decision([{ code: 'accelerator-unused', text }]));
  book.record(decision([]));
  expect(lines.filter(([level]) => level === 'warning')).toEqual([['warning', 'accelerator-unused', text]]);
  expect(metrics.text()).toContain('metahub_decision_notes_total{code="accelerator-unused"} 1');
  expect(book.latest().map(({ notes }) => notes)).toEqual([[], [text]]);
});

test('the latest 200 decisions are kept', () => {
  const book = createDecisionLog({ log: () => {}, now: () => new Date(0), metrics: createMetrics() });
  for (let at = 0; at < 201; at += 1) book.record({ ...decision([]), reason: `decision ${at}` });
  const reasons = book.latest().map(({ reason }) => reason);
  expect(reasons).toHaveLength(200);
  expect([reasons[0], reasons.at(-1)]).toEqual(['decision 200', 'decision 1']);
});
