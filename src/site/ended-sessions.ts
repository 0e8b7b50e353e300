import * as v from 'valibot';
import type { SharedState } from '../lib/shared-state.ts';

export interface EndedSessionsOptions {
  /**
   * The name of this list in the shared state: the same at every replica, and different from every other
   * list's.
   */
  readonly name: string;
  /** How long a session lasts. */
  readonly lifetimeMs: number;
  /** What replicas share; undefined: there is one replica. */
  readonly shared: SharedState | undefined;
  /** Milliseconds of the wall clock. */
  readonly wallClock: () => number;
}

/** Maximum number of sessions for each account, so that an account that ends more evicts only its own. */
const ACCOUNT_MAX = 100;
const ENDED_MAX = 10_000;
/**
 * Maximum size of the list's JSON, in bytes. Sealed it is a third longer, and replicas read no value of more
 * than 1 MiB.
 */
const LIST_MAX_BYTES = 740 * 1024;

/** A clock may be set back by so much, or another replica's may differ, and no ended session opens again. */
const CLOCK_MARGIN_MS = 60 * 60_000;

const User = v.pipe(v.string(), v.maxLength(256));
const Id = v.pipe(v.string(), v.maxLength(64));
const ENDED = v.object({ user: User, id: Id, expiresMs: v.number() });
/** User, id of the session, and the time at which the session would have expired. */
const LIST = v.pipe(v.array(v.tuple([User, Id, v.number()])), v.maxLength(ENDED_MAX));

type Session = v.InferOutput<typeof ENDED>;

const isOver = ({ expiresMs }: Session, nowMs: number) => expiresMs + CLOCK_MARGIN_MS <= nowMs;

type Row = v.InferOutput<typeof LIST>[number];

const rowOf = ({ user, id, expiresMs }: Session): Row => [user, id, expiresMs];

/** The size of a session in the list's JSON, with its comma, in bytes. */
const sizeOf = (session: Session) => Buffer.byteLength(JSON.stringify(rowOf(session))) + 1;

/** Returns the session to evict: the same one at all replicas that know the same sessions. */
function firstToExpire(sessions: Iterable<Session>): Session | undefined {
  let first: Session | undefined;
  for (const each of sessions) {
    const sooner = first === undefined ? -1 : each.expiresMs - first.expiresMs;
    if (first === undefined || sooner < 0 || (sooner === 0 && each.id < first.id)) first = each;
  }
  return first;
}

/**
 * Remembers sessions that ended before they expired. With a shared state it learns of those that ended at any
 * replica, and keeps a list of them in Redis for replicas that start later.
 */
export class EndedSessions {
  readonly #options: EndedSessionsOptions;
  /** By id. */
  readonly #ended = new Map<string, Session>();
  readonly #byUser = new Map<string, Set<Session>>();
  #listBytes = 0;
  #storing = Promise.resolve();

  constructor(options: EndedSessionsOptions) {
    this.#options = options;
    const { name, shared } = options;
    shared?.subscribe(name, ENDED, (session) => this.#add(session));
    shared?.subscribe(`${name} stored`, v.null(), () => this.#store());
    shared?.onReturn(() => this.#store());
  }

  has(id: string): boolean {
    return this.#ended.has(id);
  }

  /** Ends a session at every replica that is reachable now. The others read the list when they are back. */
  async end(session: Session): Promise<void> {
    const { name, shared } = this.#options;
    this.#add(session);
    await shared?.publish(name, session);
    this.#store();
  }

  #add(session: Session): void {
    const nowMs = this.#options.wallClock();
    if (isOver(session, nowMs) || this.#ended.has(session.id)) return;
    this.#ended.set(session.id, session);
    this.#listBytes += sizeOf(session);
    const own = this.#byUser.get(session.user) ?? new Set();
    this.#byUser.set(session.user, own.add(session));
    this.#forgetExpired(own, nowMs);
    if (own.size > ACCOUNT_MAX) this.#forget(firstToExpire(own));
    if (!this.#isTooMuch()) return;
    this.#forgetExpired(this.#ended.values(), nowMs);
    while (this.#isTooMuch()) this.#forget(firstToExpire(this.#ended.values()));
  }

  #isTooMuch(): boolean {
    return this.#ended.size > ENDED_MAX || this.#listBytes > LIST_MAX_BYTES;
  }

  #forgetExpired(sessions: Iterable<Session>, nowMs: number): void {
    for (const each of sessions) if (isOver(each, nowMs)) this.#forget(each);
  }

  #forget(session: Session | undefined): void {
    if (session === undefined) return;
    if (this.#ended.delete(session.id)) this.#listBytes -= sizeOf(session);
    const own = this.#byUser.get(session.user);
    own?.delete(session);
    if (own?.size === 0) this.#byUser.delete(session.user);
  }

  /**
   * Adds the sessions of the list in Redis. Resolves to true when the list lacks a session that this replica
   * knows.
   */
  async #read(): Promise<boolean> {
    const { name, shared } = this.#options;
    const list = (await shared?.get(`${name} list`, LIST, 'background')) ?? [];
    for (const [user, id, expiresMs] of list) this.#add({ user, id, expiresMs });
    const listed = new Set(list.map(([, id]) => id));
    return [...this.#ended.keys()].some((id) => !listed.has(id));
  }

  /** Merges the sessions that this replica knows into the list in Redis. */
  #store(): void {
    const { name, lifetimeMs, shared } = this.#options;
    if (shared === undefined) return;
    this.#storing = this.#storing.then(async () => {
      if (shared.trouble !== undefined || !(await this.#read())) return;
      const list = [...this.#ended.values()].map(rowOf);
      const isSet = await shared.set(`${name} list`, list, lifetimeMs + CLOCK_MARGIN_MS, 'background');
      // When two replicas store at the same time, one overwrites the other's list. The message lets each add
      // what the list lacks.
      if (isSet) await shared.publish(`${name} stored`, null);
    });
  }
}
