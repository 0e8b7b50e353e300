import { type AccountIdentity, accountNameOf, isExpired, tokenHashOf, withToken } from './account.ts';
import type { AccountIndex } from './account-index.ts';
import type { AuditReason } from './audit.ts';
import type { PasswordCheck } from './password.ts';
import type { Grant, TokenClaims, TokenIssuer } from './token.ts';

/** The credentials of a request. */
export type PresentedCredentials =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'basic'; readonly login: string; readonly password: string }
  | { readonly kind: 'bearer'; readonly token: string }
  /** Another scheme, or a header that breaks the grammar. */
  | { readonly kind: 'malformed' };

const BEARER = 'Bearer ';
const BASIC_HEADER = /^basic +(\S+)\s*$/i;
const BEARER_HEADER = /^bearer +(\S+)\s*$/i;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

function readBasic(encoded: string): PresentedCredentials {
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 1 || !BASE64.test(encoded)) return { kind: 'malformed' };
  return { kind: 'basic', login: text.slice(0, colon), password: text.slice(colon + 1) };
}

/** Reads an `Authorization` header. @see https://www.rfc-editor.org/rfc/rfc7617#section-2 and rfc6750#section-2.1 */
export function readAuthorization(header: string | undefined): PresentedCredentials {
  if (header === undefined || header.trim() === '') return { kind: 'nothing' };
  const encoded = BASIC_HEADER.exec(header)?.[1];
  if (encoded !== undefined) return readBasic(encoded);
  const token = BEARER_HEADER.exec(header)?.[1];
  return token === undefined ? { kind: 'malformed' } : { kind: 'bearer', token };
}

/** Why authentication failed. */
export type Reason = Extract<
  AuditReason,
  | 'no-credentials'
  | 'malformed-credentials'
  | 'wrong-credentials'
  | 'unknown-machine'
  | 'expired-access-token'
  | 'expired-token'
  | 'invalid-token'
  | 'too-many-failures'
>;

/** An authenticated login; `grants` is set when a bearer token narrows its rights. */
export interface KnownLogin {
  readonly kind: 'known';
  readonly identity: AccountIdentity;
  readonly grants: readonly Grant[] | undefined;
}

export type Authenticated =
  | KnownLogin
  | { readonly kind: 'unknown'; readonly reason: Reason; readonly who?: string; readonly waitMs?: number };

function withoutCredentials(kind: 'nothing' | 'malformed'): Authenticated {
  return { kind: 'unknown', reason: kind === 'nothing' ? 'no-credentials' : 'malformed-credentials' };
}

/** The client that presents credentials. */
export interface LoginClient {
  readonly address: string;
  /** Aborts when the client leaves. */
  readonly signal?: AbortSignal | undefined;
}

/** Authenticates a request by its `Authorization` header. */
export interface Authenticate {
  /**
   * Answers synchronously for a password or token that was verified before. Undefined: call `byHeader`.
   * @param connection the same object for all requests of a connection
   */
  byHeaderNow(header: string | undefined, connection?: object): Authenticated | undefined;
  byHeader(header: string | undefined, client: LoginClient): Promise<Authenticated>;
  /** Accepts passwords only. Treats any other scheme like a missing header. */
  byBasic(header: string | undefined, client: LoginClient): Promise<Authenticated>;
  byPassword(login: string, password: string, client: LoginClient): Promise<Authenticated>;
}

export interface AuthenticateOptions {
  readonly directory: () => AccountIndex;
  readonly passwords: PasswordCheck;
  readonly tokens: TokenIssuer;
  /** Milliseconds of the wall clock. */
  readonly wallClock: () => number;
}

/** The token of a connection's last request. */
interface LastToken {
  readonly header: string;
  readonly claims: TokenClaims;
}

/** Authenticates by the passwords, access tokens and bearer tokens of a site. */
class SiteAuthenticate implements Authenticate {
  readonly #directory: () => AccountIndex;
  readonly #passwords: PasswordCheck;
  readonly #tokens: TokenIssuer;
  readonly #wallClock: () => number;
  /** Most requests of a connection have the same token, and to compare a text takes a tenth of looking it up. */
  readonly #lastTokens = new WeakMap<object, LastToken>();

  constructor({ directory, passwords, tokens, wallClock }: AuthenticateOptions) {
    this.#directory = directory;
    this.#passwords = passwords;
    this.#tokens = tokens;
    this.#wallClock = wallClock;
  }

  byHeaderNow(header: string | undefined, connection?: object): Authenticated | undefined {
    const last = connection && this.#lastTokens.get(connection);
    if (last !== undefined && last.header === header) return this.#byClaims(last.claims);
    // Finds a token that was verified before without parsing the header.
    const claims = header?.startsWith(BEARER) ? this.#tokens.recall(header.slice(BEARER.length)) : undefined;
    if (header !== undefined && claims !== undefined) {
      if (connection) this.#lastTokens.set(connection, { header, claims });
      return this.#byClaims(claims);
    }
    const presented = readAuthorization(header);
    if (presented.kind === 'basic') return this.#byRememberedPassword(presented.login, presented.password);
    if (presented.kind === 'bearer') return this.#byClaims(this.#tokens.recall(presented.token));
    return withoutCredentials(presented.kind);
  }

  async byHeader(header: string | undefined, client: LoginClient): Promise<Authenticated> {
    const presented = readAuthorization(header);
    if (presented.kind === 'basic') return this.byPassword(presented.login, presented.password, client);
    if (presented.kind === 'bearer') return this.#byToken(presented.token);
    return withoutCredentials(presented.kind);
  }

  async byBasic(header: string | undefined, client: LoginClient): Promise<Authenticated> {
    const presented = readAuthorization(header);
    if (presented.kind === 'basic') return this.byPassword(presented.login, presented.password, client);
    return withoutCredentials(presented.kind === 'malformed' ? 'malformed' : 'nothing');
  }

  async byPassword(
    login: string,
    password: string,
    { address, signal }: LoginClient,
  ): Promise<Authenticated> {
    const remembered = this.#byRememberedPassword(login, password);
    if (remembered) return remembered;
    const hash = this.#directory().passwordOf(login);
    const accountName = accountNameOf(login);
    const verdict = await this.#passwords.check({ password, hash, accountName, address, signal });
    if (verdict.kind === 'right') return this.#identified(login);
    // People type passwords as user names by mistake, so the log does not show a name that does not exist.
    const who = hash === undefined ? {} : { who: login };
    return verdict.kind === 'later'
      ? { kind: 'unknown', reason: 'too-many-failures', waitMs: verdict.waitMs, ...who }
      : { kind: 'unknown', reason: 'wrong-credentials', ...who };
  }

  /** Finds the login after its password was verified. Only now are the features of a selector parsed. */
  #identified(login: string): Authenticated {
    const identity = this.#directory().find(login);
    if (identity === undefined) return { kind: 'unknown', reason: 'unknown-machine' };
    return { kind: 'known', identity, grants: undefined };
  }

  /** Authenticates by an access token in place of the password; undefined when the account has no such token. */
  #byAccessToken(login: string, password: string): Authenticated | undefined {
    const sha256 = tokenHashOf(password);
    const token = sha256 === undefined ? undefined : this.#directory().tokenOf(login, sha256);
    if (token === undefined) return undefined;
    if (isExpired(token, this.#wallClock())) {
      return { kind: 'unknown', reason: 'expired-access-token', who: login };
    }
    const found = this.#identified(login);
    return found.kind === 'known' ? { ...found, identity: withToken(found.identity, token) } : found;
  }

  #byRememberedPassword(login: string, password: string): Authenticated | undefined {
    const byToken = this.#byAccessToken(login, password);
    if (byToken !== undefined) return byToken;
    const hash = this.#directory().passwordOf(login);
    return this.#passwords.isRemembered(password, hash) ? this.#identified(login) : undefined;
  }

  #byClaims(claims: TokenClaims | undefined): KnownLogin | undefined {
    const verdict = claims && this.#tokens.judge(claims);
    if (verdict?.kind !== 'valid') return undefined;
    return { kind: 'known', identity: verdict.identity, grants: verdict.grants };
  }

  async #byToken(token: string): Promise<Authenticated> {
    const verdict = await this.#tokens.verify(token);
    if (verdict.kind === 'valid') return { ...verdict, kind: 'known' };
    return { kind: 'unknown', reason: verdict.kind === 'expired' ? 'expired-token' : 'invalid-token' };
  }
}

export function createAuthenticate(options: AuthenticateOptions): Authenticate {
  return new SiteAuthenticate(options);
}
