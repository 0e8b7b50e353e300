import type { Writable } from 'node:stream';
import { formatPlatform } from '../../../oci/manifest.ts';
import { formatReference } from '../../../oci/reference.ts';
import type { PushOutcome } from '../../../upstream/pusher.ts';
import type { PlannedMember, PushPlan } from './plan.ts';

type Counts = Readonly<Record<PushOutcome, number>>;

/** The progress for people: on a terminal one line that changes, elsewhere a line for each image. */
export interface Progress {
  member(name: string, counts: Counts, waiting: number): void;
  /** `counts` is undefined when the image was there before. */
  finished(name: string, counts: Counts | undefined): void;
  done(): void;
}

function countsText({ exists, mounted, uploaded }: Counts): string {
  const parts = [
    [exists, 'there already'],
    [mounted, 'mounted'],
    [uploaded, 'sent'],
  ] as const;
  const said = parts.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
  return said.length === 0 ? 'no blobs' : `blobs: ${said.join(', ')}`;
}

export function createProgress(stream: Writable & { readonly isTTY?: boolean | undefined }): Progress {
  const isTerminal = stream.isTTY === true;
  const clear = isTerminal ? '\r\x1b[K' : '';
  return {
    member: (name, counts, waiting) => {
      if (isTerminal) stream.write(`${clear}${name}  ${countsText(counts)}, ${waiting} to go`);
    },
    finished: (name, counts) => {
      const what = counts === undefined ? 'is in the repository' : countsText(counts);
      stream.write(`${clear}${name}  ${what}\n`);
    },
    done: () => {
      if (isTerminal) stream.write(clear);
    },
  };
}

function memberLine({ name, member, isThere }: PlannedMember): string {
  const what = [formatPlatform(member.platform), ...member.platform.features].join(' ');
  return `  ${what}  ${name}  ${member.digest}  ${isThere ? 'in the repository' : 'to be copied or mounted'}\n`;
}

function namesOf({ repository, tags }: PushPlan): string {
  return tags.map((tag) => formatReference(repository, { kind: 'tag', tag })).join(' ');
}

/** Formats what would be pushed, and the list itself. */
export function renderPlan(plan: PushPlan): string {
  const { members, index } = plan;
  const head = `${namesOf(plan)}  ${index.digest}  (not pushed)\n`;
  return `${head}${members.map(memberLine).join('')}${index.bytes.toString('utf8')}`;
}

/** Formats what was pushed, on one line. */
export function renderDone(plan: PushPlan): string {
  const { index, members } = plan;
  const count = `${members.length} ${members.length === 1 ? 'entry' : 'entries'}`;
  return `${namesOf(plan)}  ${index.digest}  (${count}, ${index.bytes.length} bytes)\n`;
}
