import type { AccountIdentity } from './account.ts';
import type { AccountIndex } from './account-index.ts';
import { type PresentedCredentials, readAuthorization } from './auth-header.ts';
import type { PasswordCheck } from './password-check.ts';
import type { Grant, TokenIssuer } from './token.ts';

/** Why a request is nobody's. */
export type Reason =
  | 'no credentials'
  | 'malformed credentials'
  | 'wrong credentials'
  | 'expired token'
  | 'invalid token'
  | 'too many failures';

/** Whose request it is; `grants` when a token narrows what it may do. */
export type Authenticated =
  | {
      readonly kind: 'known';
      readonly identity: AccountIdentity;
      readonly grants: readonly Grant[] | undefined;
    }
  | { readonly kind: 'unknown'; readonly reason: Reason; readonly who?: string; readonly waitMs?: number };

/** Finds out who asks, from the `Authorization` header. */
export interface Authenticate {
  byHeader(header: string | undefined, address: string): Promise<Authenticated>;
  /** The same where only passwords count: any other scheme is as good as no header. */
  byBasic(header: string | undefined, address: string): Promise<Authenticated>;
  byPassword(login: string, password: string, address: string): Promise<Authenticated>;
}

export interface AuthenticateOptions {
  readonly directory: () => AccountIndex;
  readonly passwords: PasswordCheck;
  readonly tokens: TokenIssuer;
}

export function createAuthenticate({ directory, passwords, tokens }: AuthenticateOptions): Authenticate {
  async function byPassword(login: string, password: string, address: string): Promise<Authenticated> {
    const identity = directory().find(login);
    const verdict = await passwords.check(login, password, identity?.password, address);
    // An unknown user name is not repeated in the log: people type passwords there.
    const who = identity === undefined ? {} : { who: login };
    if (verdict.kind === 'later') {
      return { kind: 'unknown', reason: 'too many failures', waitMs: verdict.waitMs, ...who };
    }
    if (verdict.kind === 'wrong' || identity === undefined) {
      return { kind: 'unknown', reason: 'wrong credentials', ...who };
    }
    return { kind: 'known', identity, grants: undefined };
  }

  async function byToken(token: string): Promise<Authenticated> {
    const verdict = await tokens.verify(token);
    if (verdict.kind === 'valid') {
      return { kind: 'known', identity: verdict.identity, grants: verdict.grants };
    }
    return { kind: 'unknown', reason: verdict.kind === 'expired' ? 'expired token' : 'invalid token' };
  }

  async function byShown(shown: PresentedCredentials, address: string): Promise<Authenticated> {
    switch (shown.kind) {
      case 'nothing':
        return { kind: 'unknown', reason: 'no credentials' };
      case 'malformed':
        return { kind: 'unknown', reason: 'malformed credentials' };
      case 'basic':
        return byPassword(shown.login, shown.password, address);
      case 'bearer':
        return byToken(shown.token);
    }
  }

  const byHeader = (header: string | undefined, address: string) =>
    byShown(readAuthorization(header), address);
  const byBasic = (header: string | undefined, address: string) =>
    byHeader(/^basic /i.test(header ?? '') ? header : undefined, address);
  return { byHeader, byBasic, byPassword };
}
