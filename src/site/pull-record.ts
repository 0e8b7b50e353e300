import { randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { HostProfile } from '../host/profile.ts';
import { entriesAtMost } from '../lib/lru.ts';
import { formatReference, type Repository, type Tag } from '../oci/reference.ts';
import type { Admitted, TagOutcome } from '../oci/registry.ts';
import type { FitKind } from '../selection/assessment.ts';
import type { AccountIdentity } from './account.ts';

/** How well the answer to a tag suits the machine (see server/status-facts.ts). */
export const ANSWER_VERDICTS = ['fitted', 'generic', 'unchanged', 'refused', 'failed'] as const;
export type AnswerVerdict = (typeof ANSWER_VERDICTS)[number];

/** The decision for a tag and a set of features. */
export interface TagDecision {
  readonly verdict: AnswerVerdict;
  /** What the chosen entry demands; undefined: the policy chose none. */
  readonly entry: string | undefined;
  readonly reason: string;
  readonly notes: readonly string[];
  /** How close the entry comes to the machine (see selection/fit.ts); undefined: there was no choice. */
  readonly fit: FitKind | undefined;
}

/** Answers to one tag for one login. Equal answers within a minute count as one. */
export interface RecordedAnswer extends TagDecision {
  /** Identifies the record that the answer comes from. */
  readonly origin: string;
  /** Increases with time within its origin. */
  readonly id: number;
  readonly account: string;
  readonly login: string;
  readonly features: readonly string[];
  readonly repository: Repository;
  readonly image: string;
  readonly digest: string;
  readonly answers: number;
  readonly firstMs: number;
  readonly lastMs: number;
}

/** A machine that has pulled. */
export interface SeenHost {
  readonly account: string;
  readonly login: string;
  readonly features: readonly string[];
  readonly address: string;
  readonly firstMs: number;
  readonly lastMs: number;
}

/** What machines have pulled, as the API and the pages show it. */
export interface PullView {
  /** Latest first. */
  latest(): readonly RecordedAnswer[];
  /** The last answer of each login and image, in no particular order. */
  images(): readonly RecordedAnswer[];
  /** In no particular order. */
  hosts(): readonly SeenHost[];
}

/** The rows of a record, by kind. */
export interface PullRows {
  readonly answers: readonly RecordedAnswer[];
  readonly images: readonly RecordedAnswer[];
  readonly hosts: readonly SeenHost[];
}

/** Bounds of the record, which evicts the least recently used rows. */
export const ANSWERS_MAX = 1000;
export const IMAGES_MAX = 10_000;
export const HOSTS_MAX = 5000;
const DECISIONS_MAX = 10_000;
/** Equal answers within this time count as one, in milliseconds. */
const EQUAL_MS = 60_000;

type NoteAnswer = NonNullable<Admitted['noteAnswer']>;
/** A recorded answer whose counter increases with each equal answer. */
interface Repeat {
  readonly tag: Tag;
  readonly digest: string;
  /** Value of the decision counter at that time. */
  readonly decided: number;
  readonly key: string;
  readonly latest: Changing<RecordedAnswer>;
  readonly total: Changing<RecordedAnswer>;
}

type Changing<Of> = { -readonly [Key in keyof Of]: Of[Key] };

/** A number above every time in milliseconds. The difference from it sorts the latest key first. */
const LATEST_FIRST = 1e15;

/** Returns a key that sorts answers, the latest first, in the same order at every replica. */
export function answerKey({ firstMs, origin, id }: RecordedAnswer): string {
  return `${LATEST_FIRST - firstMs} ${origin} ${LATEST_FIRST - id}`;
}

/** Records in memory, within bounds, which machines pulled which images, and which entry each got and why. */
export class PullRecord implements PullView {
  /** Distinguishes the answers of this process from those of other replicas and earlier runs. */
  readonly origin = randomBytes(9).toString('base64url');
  readonly #now: () => number;
  /** Image and features -> decision. */
  readonly #decisions = new LRUCache<string, TagDecision>(entriesAtMost(DECISIONS_MAX));
  readonly #featuresOf = new WeakMap<HostProfile, string>();
  /** Oldest first. */
  readonly #latest: Changing<RecordedAnswer>[] = [];
  /** Login and image -> its last answer in `#latest`. */
  readonly #recent = new LRUCache<string, Changing<RecordedAnswer>>(entriesAtMost(ANSWERS_MAX));
  /** Login and image -> its last answer, with the count of all its answers. */
  readonly #images = new LRUCache<string, Changing<RecordedAnswer>>(entriesAtMost(IMAGES_MAX));
  readonly #hosts = new LRUCache<string, Changing<SeenHost>>(entriesAtMost(HOSTS_MAX));
  #count = 0;
  /** The number of decisions so far. */
  #decisionCount = 0;

  /** @param now milliseconds of the wall clock */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Notes that the profile belongs to machines with these features. */
  noteProfile(profile: HostProfile, features: readonly string[]): void {
    this.#featuresOf.set(profile, JSON.stringify(features));
  }

  noteDecision(profile: HostProfile, repository: Repository, tag: Tag, decision: TagDecision): void {
    const features = this.#featuresOf.get(profile);
    const image = formatReference(repository, { kind: 'tag', tag });
    if (features === undefined) return;
    this.#decisionCount += 1;
    this.#decisions.set(`${image} ${features}`, decision);
  }

  /** Returns the function to call for each pull of this login from this address. */
  hostAt({ login, account, features }: AccountIdentity, address: string): () => void {
    const key = `${login} ${address}`;
    return () => {
      const nowMs = this.#now();
      const known = this.#hosts.get(key);
      if (known !== undefined) {
        known.lastMs = nowMs;
        known.features = features;
        return;
      }
      const { user } = account;
      this.#hosts.set(key, { account: user, login, features, address, firstMs: nowMs, lastMs: nowMs });
    };
  }

  /** Returns the function to call after each answer to this login's requests for tags. */
  answersTo(identity: AccountIdentity): NoteAnswer {
    const features = JSON.stringify(identity.features);
    // The parser caches frequent targets, so a repeated request has the same repository object.
    const repeats = new WeakMap<Repository, Repeat>();
    return (repository, tag, outcome) => {
      const repeat = repeats.get(repository);
      if (outcome.kind === 'sent' && repeat?.tag === tag && this.#countAgain(repeat, outcome.digest)) return;
      const image = formatReference(repository, { kind: 'tag', tag });
      const decided = this.#decisions.get(`${image} ${features}`);
      const noted = this.#note(identity, { repository, image }, decided, outcome);
      if (noted !== undefined) repeats.set(repository, { ...noted, tag, decided: this.#decisionCount });
    };
  }

  /**
   * Counts an answer that equals the last one. Returns false when it differs, or when the record has evicted
   * the last one.
   */
  #countAgain({ key, digest, decided, latest, total }: Repeat, sentDigest: string): boolean {
    const nowMs = this.#now();
    const isEqual =
      digest === sentDigest &&
      decided === this.#decisionCount &&
      nowMs - latest.firstMs < EQUAL_MS &&
      this.#recent.get(key) === latest &&
      this.#images.get(key) === total;
    if (!isEqual) return false;
    latest.answers += 1;
    total.answers += 1;
    latest.lastMs = nowMs;
    total.lastMs = nowMs;
    return true;
  }

  #note(
    { login, account, features }: AccountIdentity,
    { repository, image }: Pick<RecordedAnswer, 'repository' | 'image'>,
    decided: TagDecision | undefined,
    outcome: TagOutcome,
  ): Pick<Repeat, 'key' | 'digest' | 'latest' | 'total'> | undefined {
    const decision = decisionOn(decided, outcome);
    // There was no decision: the registry has no such tag.
    if (decision === undefined) return undefined;
    const digest = outcome.kind === 'sent' ? outcome.digest : '';
    const nowMs = this.#now();
    const answer = {
      ...decision,
      origin: this.origin,
      ...{ account: account.user, login, features, repository, image, digest },
      ...{ answers: 1, firstMs: nowMs, lastMs: nowMs },
    };
    const key = `${login} ${image}`;
    const latest = this.#addLatest(key, answer);
    const before = this.#images.get(key);
    const { firstMs, answers } = before ?? { firstMs: nowMs, answers: 0 };
    const total = { ...answer, id: this.#count, firstMs, answers: answers + 1 };
    this.#images.set(key, total);
    return { key, digest, latest, total };
  }

  #addLatest(key: string, answer: Omit<RecordedAnswer, 'id'>): Changing<RecordedAnswer> {
    const { digest, reason, lastMs } = answer;
    const before = this.#recent.get(key);
    if (before?.digest === digest && before.reason === reason && lastMs - before.firstMs < EQUAL_MS) {
      before.answers += 1;
      before.lastMs = lastMs;
      return before;
    }
    this.#count += 1;
    const added = { ...answer, id: this.#count };
    this.#latest.push(added);
    this.#recent.set(key, added);
    if (this.#latest.length > ANSWERS_MAX) this.#latest.shift();
    return added;
  }

  latest(): readonly RecordedAnswer[] {
    return this.#latest.toReversed();
  }

  images(): readonly RecordedAnswer[] {
    return [...this.#images.values()];
  }

  hosts(): readonly SeenHost[] {
    return [...this.#hosts.values()];
  }

  /** Returns the rows that have changed at or after this time of the wall clock. */
  changedSince(sinceMs: number): PullRows {
    const isRecent = ({ lastMs }: { readonly lastMs: number }) => lastMs >= sinceMs;
    return {
      answers: this.#latest.filter(isRecent),
      images: this.images().filter(isRecent),
      hosts: this.hosts().filter(isRecent),
    };
  }
}

const UNDECIDED: TagDecision = {
  verdict: 'unchanged',
  entry: undefined,
  reason: 'sent as the registry has it',
  notes: [],
  fit: undefined,
};

function decisionOn(decided: TagDecision | undefined, outcome: TagOutcome): TagDecision | undefined {
  if (outcome.kind === 'sent') return decided ?? UNDECIDED;
  const { status, reason } = outcome;
  if (status === 404) return decided?.verdict === 'refused' ? decided : undefined;
  return { ...UNDECIDED, verdict: 'failed', reason };
}
