import * as v from 'valibot';
import type { SharedState } from '../lib/shared-state.ts';

export interface EndedSessionsOptions {
  /** The same at every replica, and of these sessions alone. */
  readonly name: string;
  /** How long a session lasts. */
  readonly lifetimeMs: number;
  /** What replicas share; undefined: there is one replica. */
  readonly shared: SharedState | undefined;
  /** Milliseconds of the wall clock. */
  readonly wallClock: () => number;
}

/** An account that ends more pushes out its own only. */
const ACCOUNT_MAX = 100;
const ENDED_MAX = 10_000;
/** Of the list's JSON: sealed it is a third longer, and replicas read no value of more than 1 MiB. */
const LIST_MAX_BYTES = 740 * 1024;

const User = v.pipe(v.string(), v.maxLength(256));
const Id = v.pipe(v.string(), v.maxLength(64));
const ENDED = v.object({ user: User, id: Id, expiresMs: v.number() });
/** Accounts and ids with the time at which the session would have expired. */
const LIST = v.pipe(v.array(v.tuple([User, Id, v.number()])), v.maxLength(ENDED_MAX));

type Session = v.InferOutput<typeof ENDED>;

type Row = v.InferOutput<typeof LIST>[number];

const rowOf = ({ user, id, expiresMs }: Session): Row => [user, id, expiresMs];

/** In the list, with its comma. */
const sizeOf = (session: Session) => Buffer.byteLength(JSON.stringify(rowOf(session))) + 1;

/** Replicas that know the same sessions forget the same one. */
function firstToExpire(sessions: Iterable<Session>): Session | undefined {
  let first: Session | undefined;
  for (const each of sessions) {
    const sooner = first === undefined ? -1 : each.expiresMs - first.expiresMs;
    if (first === undefined || sooner < 0 || (sooner === 0 && each.id < first.id)) first = each;
  }
  return first;
}

/**
 * Remembers the sessions that ended before they expired, at this replica or, with a shared state, at any; there a list of them
 * waits for replicas that start later.
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
    const session = this.#ended.get(id);
    return session !== undefined && this.#options.wallClock() < session.expiresMs;
  }

  /** Ends a session at every replica that can be reached now; the others read the list when they return. */
  async end(session: Session): Promise<void> {
    const { name, shared } = this.#options;
    this.#add(session);
    await shared?.publish(name, session);
    this.#store();
  }

  #add(session: Session): void {
    const nowMs = this.#options.wallClock();
    if (session.expiresMs <= nowMs || this.#ended.has(session.id)) return;
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
    for (const each of sessions) if (each.expiresMs <= nowMs) this.#forget(each);
  }

  #forget(session: Session | undefined): void {
    if (session === undefined) return;
    if (this.#ended.delete(session.id)) this.#listBytes -= sizeOf(session);
    const own = this.#byUser.get(session.user);
    own?.delete(session);
    if (own?.size === 0) this.#byUser.delete(session.user);
  }

  /** Adds the list in Redis; resolves to whether it lacks a session that this replica knows. */
  async #read(): Promise<boolean> {
    const { name, shared } = this.#options;
    const list = (await shared?.get(`${name} list`, LIST, 'background')) ?? [];
    for (const [user, id, expiresMs] of list) this.#add({ user, id, expiresMs });
    const listed = new Set(list.map(([, id]) => id));
    return [...this.#ended.keys()].some((id) => !listed.has(id));
  }

  /** Merges what this replica knows into the list. */
  #store(): void {
    const { name, lifetimeMs, shared } = this.#options;
    if (shared === undefined) return;
    this.#storing = this.#storing.then(async () => {
      if (shared.trouble !== undefined || !(await this.#read())) return;
      const list = [...this.#ended.values()].map(rowOf);
      const isSet = await shared.set(`${name} list`, list, lifetimeMs, 'background');
      // Of two replicas that store at the same time one overwrites the other's list: each adds what it lacks.
      if (isSet) await shared.publish(`${name} stored`, null);
    });
  }
}
