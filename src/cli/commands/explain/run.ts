import type { HostProfile } from '../../../host/profile.ts';
import type { Digest } from '../../../oci/digest.ts';
import { type Answer, answerFor } from '../../../selection/answer.ts';
import { type Note, notesOn } from '../../../selection/assessment.ts';
import type { DerivedForm } from '../../../selection/derived-forms.ts';
import { type Selection, select } from '../../../selection/select.ts';
import type { BenchmarkResult } from '../../benchmark-results.ts';
import { assumed } from '../../detect-host.ts';
import { hostProfile, readProfileFile } from '../../host-profile.ts';
import type { ExplainSubject } from './load.ts';

/** A host, and its name in the output. */
export interface NamedHost {
  readonly name: string;
  readonly profile: HostProfile;
  /** Number of machines of this kind at a site that have pulled lately. */
  readonly machines?: number;
}

/** What one host gets, entry by entry. `selection` is undefined when the document is not an index. */
export interface Explanation {
  readonly subject: ExplainSubject;
  readonly host: NamedHost;
  readonly selection: Selection | undefined;
  /** The mirror's answer to a client that accepts an index. */
  readonly answer: Answer;
  readonly notes: readonly Note[];
}

/**
 * Returns the hosts of the command line: each profile file under its name, or else this host. `--set` changes
 * all of them.
 * @throws {UserError}
 */
export async function hostsOf(choice: {
  readonly profile: readonly string[];
  readonly set: readonly string[];
}): Promise<readonly NamedHost[]> {
  const { profile: files, set } = choice;
  if (files.length === 0) {
    return [{ name: 'this host', profile: await hostProfile({ profile: undefined, set }) }];
  }
  return Promise.all(
    files.map(async (file) => ({ name: nameOf(file), profile: assumed(await readProfileFile(file), set) })),
  );
}

/** `hosts/node7.json` -> `node7`. */
function nameOf(file: string): string {
  return file.replace(/^.*\//, '').replace(/\.json$/, '') || file;
}

/** Returns the measurements of an entry on hosts with this host's CPU. */
export function measuredOf({ subject, host }: Explanation, digest: Digest): readonly BenchmarkResult[] {
  const { microarchitecture } = host.profile.cpu;
  return (subject.measured ?? []).filter(({ entry, cpu }) => entry === digest && cpu === microarchitecture);
}

/** Explains what this host gets for the image, and why. */
export function explainFor(subject: ExplainSubject, host: NamedHost): Explanation {
  const { source, policy, extra } = subject;
  const { document } = source;
  const selection = document.kind === 'index' ? select(document, host.profile, policy, extra) : undefined;
  const notes = selection === undefined ? [] : notesOn(selection, host.profile);
  return { subject, host, selection, answer: answerOf(subject, host, selection), notes };
}

function answerOf(
  { source, policy, isPinned, extra, derived }: ExplainSubject,
  { profile }: NamedHost,
  selection: Selection | undefined,
): Answer {
  if (derived !== undefined && selection !== undefined) {
    const { tag, form } = derived;
    const status = form.position === undefined ? undefined : selection.verdicts[form.position]?.status;
    const runsHere = status === 'winner' || status === 'eligible';
    const reason = `derived from :${tag} for ${kindOf(form)}; this host ${runsHere ? 'runs it' : 'cannot run it'}`;
    return { kind: 'derived', ...form, reason, selection };
  }
  if (isPinned)
    return { kind: 'original', reason: 'requested by digest; MetaHub never tailors digests', selection };
  return answerFor(source.document, profile, policy, { acceptsIndex: true, extra });
}

/** Describes the hosts that get a derived index: `cpu:broadwell`. */
function kindOf({ demands, platform }: DerivedForm): string {
  if (demands === undefined) return `${platform} hosts that run none of its entries`;
  return demands === '' ? `any ${platform} host` : demands;
}
