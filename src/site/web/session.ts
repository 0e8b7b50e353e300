import type { AccountIdentity } from '../account.ts';
import {
  passwordStamp,
  SESSION_COOKIES,
  SESSION_MS,
  SealedCookie,
  type SealedCookieOptions,
} from '../sealed-cookie.ts';

export interface WebSessionsOptions extends Pick<SealedCookieOptions, 'tokenKey' | 'shared' | 'wallClock'> {
  readonly find: (login: string) => AccountIdentity | undefined;
}

interface WebSession {
  readonly user: string;
  readonly stamp: string;
}

/** Sessions of password logins, in sealed cookies that every replica can read. */
export class WebSessions {
  readonly #find: WebSessionsOptions['find'];
  readonly #cookie: SealedCookie<WebSession>;

  constructor({ find, tokenKey, shared, wallClock }: WebSessionsOptions) {
    this.#find = find;
    const options = { tokenKey, shared, wallClock };
    this.#cookie = new SealedCookie({ name: SESSION_COOKIES.password, lifetimeMs: SESSION_MS, ...options });
  }

  /** Begins a session; returns its `Set-Cookie`. */
  begin(identity: AccountIdentity, isSecure: boolean): string {
    return this.#cookie.begin({ user: identity.login, stamp: passwordStamp(identity) }, isSecure);
  }

  /** Finds the identity of a session; undefined when there is none, or when it has ended. */
  identityIn(cookies: string | undefined, isSecure: boolean): AccountIdentity | undefined {
    const session = this.#cookie.read(cookies, isSecure);
    const identity = session && this.#find(session.user);
    if (identity === undefined || identity.login !== identity.account.user) return undefined;
    return passwordStamp(identity) === session?.stamp ? identity : undefined;
  }

  /** Ends the session at every replica; returns the `Set-Cookie` that ends it in the browser. */
  end(cookies: string | undefined, isSecure: boolean): Promise<string> {
    return this.#cookie.end(cookies, isSecure);
  }
}
