import type { Account, AccountIdentity } from '../account.ts';
import {
  passwordStamp,
  SESSION_COOKIES,
  SESSION_MS,
  SealedCookie,
  type SealedCookieOptions,
} from '../sealed-cookie.ts';
import { UsedOnce } from '../used-once.ts';
import type { PendingLogin } from './provider.ts';
import type { Person } from './settings.ts';

/** A login that this browser has begun, and the path to return to. */
export interface BegunLogin extends PendingLogin {
  /** The provider at which it began. */
  readonly issuer: string;
  readonly returnTo: string;
}

const LOGIN_MS = 10 * 60_000;

export interface SessionsOptions extends Pick<SealedCookieOptions, 'tokenKey' | 'shared' | 'wallClock'> {
  /** True when clients reach the site by TLS. */
  readonly secure: boolean;
  readonly find: (user: string) => AccountIdentity | undefined;
}

interface PersonSession extends Pick<Person, 'user' | 'issuer' | 'subject' | 'isShared'> {
  readonly stamp: string;
}

/** True when the account belongs to this person. */
export function isAccountOf(
  { oidc }: Account,
  { issuer, subject, isShared }: Pick<Person, 'issuer' | 'subject' | 'isShared'>,
) {
  return isShared ? oidc === undefined : oidc?.issuer === issuer && oidc.subject === subject;
}

/** Sessions of people, and the logins that they have begun, in sealed cookies that every replica can read. */
export class Sessions {
  readonly #options: SessionsOptions;
  readonly #sessions: SealedCookie<PersonSession>;
  readonly #logins: SealedCookie<BegunLogin>;

  constructor(options: SessionsOptions) {
    this.#options = options;
    const { tokenKey, shared, wallClock } = options;
    const sealed = { tokenKey, wallClock };
    this.#sessions = new SealedCookie({
      name: SESSION_COOKIES.person,
      lifetimeMs: SESSION_MS,
      shared,
      ...sealed,
    });
    this.#logins = new SealedCookie({ name: 'metahub-login', lifetimeMs: LOGIN_MS, ...sealed });
  }

  /** Begins a person's session; returns its `Set-Cookie`. */
  begin({ user, issuer, subject, isShared }: Person, identity: AccountIdentity): string {
    const session = { user, issuer, subject, isShared, stamp: passwordStamp(identity) };
    return this.#sessions.begin(session, this.#options.secure);
  }

  /** Ends the session at every replica; returns the `Set-Cookie` that ends it in the browser. */
  end(cookies: string | undefined): Promise<string> {
    return this.#sessions.end(cookies, this.#options.secure);
  }

  /**
   * Finds the identity of a session; undefined when there is none, when it has ended, or when the account now
   * belongs to another person.
   */
  identityIn(cookies: string | undefined): AccountIdentity | undefined {
    const session = this.#sessions.read(cookies, this.#options.secure);
    const identity = session && this.#options.find(session.user);
    if (identity === undefined || identity.login !== session?.user) return undefined;
    const isCurrent = isAccountOf(identity.account, session) && passwordStamp(identity) === session.stamp;
    return isCurrent ? { ...identity, isPerson: true } : undefined;
  }

  /** Stores a login that has begun; returns its `Set-Cookie`. */
  storeLogin(login: BegunLogin): string {
    return this.#logins.begin(login, this.#options.secure);
  }

  readLogin(cookies: string | undefined): BegunLogin | undefined {
    return this.#logins.read(cookies, this.#options.secure);
  }

  removeLogin(): string {
    return this.#logins.remove(this.#options.secure);
  }
}

/** How long a used state or ID token is remembered, in milliseconds: longer than either is valid. */
const USED_MS = 15 * 60_000;
const STATES_MAX = 10_000;
/** More than the people of a site log in programs within 15 minutes. */
const TOKENS_MAX = 100_000;

/** State that survives a change of the provider's settings: the sessions, and which logins have been used. */
export interface OidcMemory {
  readonly sessions: Sessions;
  /**
   * Anyone can begin logins, and so fill it. A forgotten state opens nothing by itself: the provider accepts a code
   * once.
   */
  readonly usedStates: UsedOnce;
  /** Only people whom a rule admits fill it. */
  readonly usedTokens: UsedOnce;
}

export function createOidcMemory(options: SessionsOptions): OidcMemory {
  const memory = { lifetimeMs: USED_MS, shared: options.shared };
  return {
    sessions: new Sessions(options),
    usedStates: new UsedOnce({ name: 'used oidc state', ...memory, max: STATES_MAX, whenFull: 'forget' }),
    usedTokens: new UsedOnce({ name: 'used oidc token', ...memory, max: TOKENS_MAX, whenFull: 'refuse' }),
  };
}
