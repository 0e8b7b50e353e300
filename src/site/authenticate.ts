import { type AccountIdentity, accountNameOf, isExpired, tokenHashOf, withToken } from './account.ts';
import type { AccountIndex } from './account-index.ts';
import type { PasswordCheck } from './password.ts';
import type { Grant, TokenIssuer } from './token.ts';

/** The credentials that a request presents. */
export type PresentedCredentials =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'basic'; readonly login: string; readonly password: string }
  | { readonly kind: 'bearer'; readonly token: string }
  /** Another scheme, or none of the grammar. */
  | { readonly kind: 'malformed' };

const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

function readBasic(encoded: string): PresentedCredentials {
  const text = BASE64.test(encoded) ? Buffer.from(encoded, 'base64').toString('utf8') : '';
  const colon = text.indexOf(':');
  if (colon < 1) return { kind: 'malformed' };
  return { kind: 'basic', login: text.slice(0, colon), password: text.slice(colon + 1) };
}

/** Reads an `Authorization` header. @see https://www.rfc-editor.org/rfc/rfc7617#section-2 and rfc6750#section-2.1 */
export function readAuthorization(header: string | undefined): PresentedCredentials {
  if (header === undefined || header.trim() === '') return { kind: 'nothing' };
  const match = /^([A-Za-z]+) +([^\s]+)\s*$/.exec(header);
  const [, scheme = '', value = ''] = match ?? [];
  if (scheme.toLowerCase() === 'basic') return readBasic(value);
  if (scheme.toLowerCase() === 'bearer') return { kind: 'bearer', token: value };
  return { kind: 'malformed' };
}

/** Why a request is not authenticated. */
export type Reason =
  | 'no credentials'
  | 'malformed credentials'
  | 'wrong credentials'
  | 'unknown machine'
  | 'expired access token'
  | 'expired token'
  | 'invalid token'
  | 'too many failures';

/** An authenticated login; `grants` when a token narrows what it may do. */
export interface KnownLogin {
  readonly kind: 'known';
  readonly identity: AccountIdentity;
  readonly grants: readonly Grant[] | undefined;
}

export type Authenticated =
  | KnownLogin
  | { readonly kind: 'unknown'; readonly reason: Reason; readonly who?: string; readonly waitMs?: number };

/** The client that presents credentials. */
export interface LoginClient {
  readonly address: string;
  /** Aborts when the client leaves. */
  readonly signal?: AbortSignal | undefined;
}

/** Finds out whose request it is, from the `Authorization` header. */
export interface Authenticate {
  /** The answer when it needs no waiting: a password or token that was verified before. Undefined: ask `byHeader`. */
  byHeaderNow(header: string | undefined): Authenticated | undefined;
  byHeader(header: string | undefined, client: LoginClient): Promise<Authenticated>;
  /** The same where only passwords count: any other scheme is as good as no header. */
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

export function createAuthenticate(options: AuthenticateOptions): Authenticate {
  const { directory, passwords, tokens, wallClock } = options;
  /** The login of a password that is right: only now is it read what a selector says of its machine. */
  function identified(login: string): Authenticated {
    const identity = directory().find(login);
    if (identity === undefined) return { kind: 'unknown', reason: 'unknown machine' };
    return { kind: 'known', identity, grants: undefined };
  }

  /** The login of an access token, which is presented as the password; undefined when it is none of this account. */
  function byAccessToken(login: string, password: string): Authenticated | undefined {
    const sha256 = tokenHashOf(password);
    const token = sha256 === undefined ? undefined : directory().tokenOf(login, sha256);
    if (token === undefined) return undefined;
    if (isExpired(token, wallClock())) return { kind: 'unknown', reason: 'expired access token', who: login };
    const found = identified(login);
    return found.kind === 'known' ? { ...found, identity: withToken(found.identity, token) } : found;
  }

  function byRememberedPassword(login: string, password: string): Authenticated | undefined {
    const byToken = byAccessToken(login, password);
    if (byToken !== undefined) return byToken;
    const hash = directory().passwordOf(login);
    return passwords.isRemembered(password, hash) ? identified(login) : undefined;
  }

  async function byPassword(
    login: string,
    password: string,
    { address, signal }: LoginClient,
  ): Promise<Authenticated> {
    const remembered = byRememberedPassword(login, password);
    if (remembered) return remembered;
    const hash = directory().passwordOf(login);
    const accountName = accountNameOf(login);
    const verdict = await passwords.check({ password, hash, accountName, address, signal });
    if (verdict.kind === 'right') return identified(login);
    // The log does not repeat an unknown user name: people type passwords there.
    const who = hash === undefined ? {} : { who: login };
    return verdict.kind === 'later'
      ? { kind: 'unknown', reason: 'too many failures', waitMs: verdict.waitMs, ...who }
      : { kind: 'unknown', reason: 'wrong credentials', ...who };
  }

  function byVerifiedToken(token: string): Authenticated | undefined {
    const verdict = tokens.verifyAgain(token);
    return verdict?.kind === 'valid' ? { ...verdict, kind: 'known' } : undefined;
  }

  async function byToken(token: string): Promise<Authenticated> {
    const verdict = await tokens.verify(token);
    if (verdict.kind === 'valid') return { ...verdict, kind: 'known' };
    return { kind: 'unknown', reason: verdict.kind === 'expired' ? 'expired token' : 'invalid token' };
  }

  return {
    byHeaderNow: (header) => {
      const presented = readAuthorization(header);
      switch (presented.kind) {
        case 'nothing':
          return { kind: 'unknown', reason: 'no credentials' };
        case 'malformed':
          return { kind: 'unknown', reason: 'malformed credentials' };
        case 'basic':
          return byRememberedPassword(presented.login, presented.password);
        case 'bearer':
          return byVerifiedToken(presented.token);
      }
    },
    byHeader: async (header, client) => {
      const presented = readAuthorization(header);
      switch (presented.kind) {
        case 'nothing':
          return { kind: 'unknown', reason: 'no credentials' };
        case 'malformed':
          return { kind: 'unknown', reason: 'malformed credentials' };
        case 'basic':
          return byPassword(presented.login, presented.password, client);
        case 'bearer':
          return byToken(presented.token);
      }
    },
    byBasic: async (header, client) => {
      const presented = readAuthorization(header);
      if (presented.kind === 'basic') return byPassword(presented.login, presented.password, client);
      return {
        kind: 'unknown',
        reason: presented.kind === 'malformed' ? 'malformed credentials' : 'no credentials',
      };
    },
    byPassword,
  };
}
