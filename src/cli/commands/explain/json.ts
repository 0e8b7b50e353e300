import { jsonText } from '../../../lib/text.ts';
import { requirementsOf } from '../../../selection/demands.ts';
import type { Verdict } from '../../../selection/select.ts';
import { demandJson } from './format.ts';
import { type Explanation, measuredOf } from './run.ts';

/** Returns what an entry itself states, independent of the host. */
function entryJson({ entry, position }: Verdict): object {
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
): object {
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

function answerJson({ subject, answer }: Explanation): object {
  const { source } = subject;
  const { kind, reason } = answer;
  switch (answer.kind) {
    case 'original':
      return {
        kind,
        reason,
        digest: source.digest,
        mediaType: source.document.mediaType,
        sizeBytes: source.bytes.length,
      };
    case 'derived':
      return {
        kind,
        reason,
        digest: answer.digest,
        mediaType: answer.mediaType,
        sizeBytes: answer.bytes.length,
      };
    case 'entry': {
      const { digest, mediaType, sizeBytes } = answer.entry;
      return { kind, reason, digest, mediaType, sizeBytes };
    }
    case 'refused': {
      const { index, detail } = answer;
      return {
        kind,
        reason,
        digest: index?.digest ?? null,
        mediaType: index?.mediaType ?? null,
        sizeBytes: index?.bytes.length ?? null,
        detail,
      };
    }
  }
}

function hostJson(explanation: Explanation): object {
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
  const document = {
    image: name,
    digest: source.digest,
    mediaType: source.document.mediaType,
    policy,
    suggestion: first.subject.suggestion ?? null,
    entries: (first.selection?.verdicts ?? []).map(entryJson),
    hosts: [first, ...others].map(hostJson),
  };
  return `${jsonText(document, 2)}\n`;
}
