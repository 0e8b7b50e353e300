import { LRUCache } from 'lru-cache';
import type { HostProfile } from '../host/profile.ts';
import type { Digest } from '../oci/digest.ts';
import type { Answer, DerivedIndex, RefusalDetail } from '../selection/answer.ts';
import { type Fit, fitOf, type Note, notesOn } from '../selection/assessment.ts';
import { demandsText } from '../selection/demands.ts';
import type { SelectionPolicy } from '../selection/policy.ts';

/** The chosen entry, with its demands: `cpu:broadwell, nvcap:5.2`. */
export interface Chosen {
  readonly digest: Digest;
  readonly demands: string;
}

/** What is sent to the client. */
type Outcome =
  | { readonly kind: 'original' }
  | ({ readonly kind: 'derived' } & DerivedIndex)
  | { readonly kind: 'entry'; readonly digest: Digest }
  | {
      readonly kind: 'refused';
      readonly detail: RefusalDetail;
      readonly index: DerivedIndex | undefined;
    };

/** The part of a decision that is cached: the verdicts on a large index would take tens of megabytes. */
export interface CachedDecision {
  readonly outcome: Outcome;
  readonly reason: string;
  readonly chosen: Chosen | undefined;
  readonly notes: readonly Note[];
  /** How close the chosen entry comes to what the host could run; undefined when there was no choice. */
  readonly fit: Fit | undefined;
}

function outcomeOf(answer: Answer): Outcome {
  switch (answer.kind) {
    case 'original':
      return { kind: 'original' };
    case 'derived': {
      const { kind, bytes, digest, mediaType } = answer;
      return { kind, bytes, digest, mediaType };
    }
    case 'entry':
      return { kind: 'entry', digest: answer.entry.digest };
    case 'refused':
      return { kind: 'refused', detail: answer.detail, index: answer.index };
  }
}

/** The part of an answer that is cached. */
export function toCachedDecision(answer: Answer, profile: HostProfile): CachedDecision {
  const { selection } = answer;
  const winner = selection?.winner;
  const chosen = winner && { digest: winner.entry.digest, demands: demandsText(winner.requirements) };
  const notes = selection === undefined ? [] : notesOn(selection, profile);
  const fit = selection === undefined ? undefined : fitOf(selection, profile);
  return { outcome: outcomeOf(answer), reason: answer.reason, chosen, notes, fit };
}

/** Restores Buffers, which arrive from a thread as plain byte arrays. */
export function withBuffers(decision: CachedDecision): CachedDecision {
  const revive = (value: unknown): unknown => {
    if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, revive(inner)]));
  };
  return { ...decision, outcome: revive(decision.outcome) as CachedDecision['outcome'] };
}

/** A cached decision, with the policy that it was made by. */
interface Judged extends CachedDecision {
  readonly policy: SelectionPolicy;
}

/** The cached decisions of one host. */
interface AnswerView {
  get(key: string): Judged | undefined;
  set(key: string, judged: Judged): void;
}

/** Caches decisions, so that each upstream index is judged once for each host. All hosts share its memory. */
export interface DecisionCache {
  view(): AnswerView;
}

const ANSWERS_MAX_BYTES = 32 * 1024 * 1024;
/** What a decision costs besides the bytes that it sends: key, reason, map entry. */
const OVERHEAD_BYTES = 4096;

function sizeOf({ outcome }: CachedDecision): number {
  if (outcome.kind === 'derived') return OVERHEAD_BYTES + outcome.bytes.length;
  if (outcome.kind !== 'refused') return OVERHEAD_BYTES;
  return OVERHEAD_BYTES + JSON.stringify(outcome.detail).length + (outcome.index?.bytes.length ?? 0);
}

export function createDecisionCache(): DecisionCache {
  const held = new LRUCache<string, Judged>({ maxSize: ANSWERS_MAX_BYTES, sizeCalculation: sizeOf });
  let views = 0;
  return {
    view: () => {
      views += 1;
      const own = views;
      return {
        get: (key) => held.get(`${own} ${key}`),
        set: (key, judged) => void held.set(`${own} ${key}`, judged),
      };
    },
  };
}
