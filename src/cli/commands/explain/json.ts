import { requirementsOf } from '../../../selection/demands.ts';
import type { Verdict } from '../../../selection/select.ts';
import type { JsonDocument } from '../../json-documents.ts';
import { documentText } from '../../output.ts';
import { demandJson } from './format.ts';
import { type Explanation, measuredOf } from './run.ts';

type ExplainedHost = JsonDocument<'explain'>['hosts'][number];

/** Returns what an entry itself states, independent of the host. */
function entryJson({ entry, position }: Verdict) {
  return {
    position,
    digest: entry.digest,
    mediaType: entry.mediaType,
    sizeBytes: entry.sizeBytes,
    platform: entry.raw['platform'] ?? null,
    demands: requirementsOf(entry).map(demandJson),
  };
}

function verdictJson(
  { entry, position, status, reason, requirements, failures }: Verdict,
  explanation: Explanation,
): ExplainedHost['verdicts'][number] {
  return {
    position,
    digest: entry.digest,
    status,
    reason,
    demands: requirements.map(demandJson),
    failures: failures.map(({ demand, why }) => ({ ...demandJson(demand), why })),
    measured: measuredOf(explanation, entry.digest),
  };
}

function answerJson({ subject, answer }: Explanation): ExplainedHost['answer'] {
  const { source } = subject;
  const { reason } = answer;
  switch (answer.kind) {
    case 'original':
      return {
        kind: answer.kind,
        reason,
        digest: source.digest,
        mediaType: source.document.mediaType,
        sizeBytes: source.bytes.length,
      };
    case 'derived':
      return {
        kind: answer.kind,
        reason,
        digest: answer.digest,
        mediaType: answer.mediaType,
        sizeBytes: answer.bytes.length,
      };
    case 'entry': {
      const { digest, mediaType, sizeBytes } = answer.entry;
      return { kind: answer.kind, reason, digest, mediaType, sizeBytes };
    }
    case 'refused': {
      const { index, detail } = answer;
      return {
        kind: answer.kind,
        reason,
        digest: index?.digest ?? null,
        mediaType: index?.mediaType ?? null,
        sizeBytes: index?.bytes.length ?? null,
        detail,
      };
    }
  }
}

function hostJson(explanation: Explanation): ExplainedHost {
  const { host, selection } = explanation;
  return {
    host: host.name,
    ...(host.machines === undefined ? {} : { machines: host.machines }),
    platform: host.profile.platform,
    features: host.profile.features,
    winner: selection?.winner?.position ?? null,
    verdicts: (selection?.verdicts ?? []).map((verdict) => verdictJson(verdict, explanation)),
    answer: answerJson(explanation),
    notes: explanation.notes,
  };
}

/** Formats everything for programs, in the same format for one host and for several. */
export function renderJson(first: Explanation, others: readonly Explanation[]): string {
  const { name, source, policy } = first.subject;
  return documentText<'explain'>({
    image: name,
    digest: source.digest,
    mediaType: source.document.mediaType,
    policy,
    suggestion: first.subject.suggestion ?? null,
    entries: (first.selection?.verdicts ?? []).map(entryJson),
    hosts: [first, ...others].map(hostJson),
  });
}
