import { createHash, randomBytes } from 'node:crypto';
import { createSealer, type Sealer } from '../lib/seal.ts';
import type { SharedState } from '../lib/shared-state.ts';
import type { AccountIdentity } from './account.ts';
import { EndedSessions } from './ended-sessions.ts';

export interface SealedCookieOptions {
  readonly name: string;
  readonly lifetimeMs: number;
  /** All replicas of the site share it. */
  readonly tokenKey: Uint8Array;
  /** The shared state in which replicas learn which cookies have ended; undefined: there is one replica. */
  readonly shared?: SharedState | undefined;
  /** Milliseconds of the wall clock. */
  readonly wallClock: () => number;
}

interface Sealed<Content> {
  readonly id: string;
  readonly expiresMs: number;
  readonly content: Content;
}

/** The cookies of sessions: of password logins, and of people who log in at a provider. */
export const SESSION_COOKIES = { password: 'metahub-site', person: 'metahub-session' } as const;
const SESSION_COOKIE = new RegExp(`^(?:__Host-)?(?:${Object.values(SESSION_COOKIES).join('|')})=`);

/** The sessions in a `Cookie` header, which also contains the cookies of all other programs on this host. */
export function sessionsIn(cookies: string): string {
  return cookies
    .split('; ')
    .filter((one) => SESSION_COOKIE.test(one))
    .join('; ');
}

/** Returns the user of the session; empty: it has none. */
function userOf(content: object): string {
  return 'user' in content ? String(content.user) : '';
}

/**
 * A cookie whose content only replicas of this site can write and read, for a limited time. `isSecure` is
 * true when the client reaches the site by TLS. The cookie's name then begins with `__Host-`, which prevents
 * other hosts and plain HTTP from setting it.
 */
export class SealedCookie<Content extends object> {
  readonly #options: SealedCookieOptions;
  readonly #sealer: Sealer;
  readonly #ended: EndedSessions;

  constructor(options: SealedCookieOptions) {
    this.#options = options;
    this.#sealer = createSealer(`metahub cookie ${options.name}`, options.tokenKey);
    const { name, lifetimeMs, shared, wallClock } = options;
    this.#ended = new EndedSessions({ name: `ended ${name}`, lifetimeMs, shared, wallClock });
  }

  /** Writes the content; returns its `Set-Cookie`. */
  begin(content: Content, isSecure: boolean): string {
    const { name, lifetimeMs, wallClock } = this.#options;
    const sealed: Sealed<Content> = {
      id: randomBytes(16).toString('base64url'),
      expiresMs: wallClock() + lifetimeMs,
      content,
    };
    return this.#setCookie(this.#sealer.seal(JSON.stringify(sealed), name), lifetimeMs / 1000, isSecure);
  }

  /** Reads the content of a request's cookie; undefined without one, or when it has expired or ended. */
  read(cookies: string | undefined, isSecure: boolean): Content | undefined {
    return this.#open(cookies, isSecure)?.content;
  }

  /** Ends the cookie at every replica; returns the `Set-Cookie` that removes it from the browser. */
  async end(cookies: string | undefined, isSecure: boolean): Promise<string> {
    const sealed = this.#open(cookies, isSecure);
    if (sealed !== undefined) {
      const { content, id, expiresMs } = sealed;
      await this.#ended.end({ user: userOf(content), id, expiresMs });
    }
    return this.remove(isSecure);
  }

  /** Returns the `Set-Cookie` that removes the cookie from this browser. A copy of the cookie stays valid. */
  remove(isSecure: boolean): string {
    return this.#setCookie('', 0, isSecure);
  }

  #open(cookies: string | undefined, isSecure: boolean): Sealed<Content> | undefined {
    const start = `${this.#name(isSecure)}=`;
    const cookie = cookies?.split('; ').find((one) => one.startsWith(start));
    const text = cookie && this.#sealer.open(cookie.slice(start.length), this.#options.name);
    if (text === undefined || text === '') return undefined;
    // Cast without validation: only a replica of this site can have sealed it.
    const sealed = JSON.parse(text) as Sealed<Content>;
    const isValid = this.#options.wallClock() < sealed.expiresMs && !this.#ended.has(sealed.id);
    return isValid ? sealed : undefined;
  }

  #name(isSecure: boolean): string {
    return `${isSecure ? '__Host-' : ''}${this.#options.name}`;
  }

  #setCookie(value: string, maxAgeS: number, isSecure: boolean): string {
    // `Strict` would omit the cookie when the provider's page redirects here.
    const attributes = `Path=/; HttpOnly; SameSite=Lax${isSecure ? '; Secure' : ''}`;
    return `${this.#name(isSecure)}=${value}; Max-Age=${maxAgeS}; ${attributes}`;
  }
}

/** How long a session lasts: a working day, in milliseconds. */
export const SESSION_MS = 8 * 60 * 60_000;

/** Returns a text that identifies the account's password. A change of the password ends the account's sessions. */
export function passwordStamp({ password }: AccountIdentity): string {
  return createHash('sha256').update(password.text).digest('base64url').slice(0, 16);
}
