import { createHmac } from 'node:crypto';
import { errors, jwtVerify, SignJWT } from 'jose';
import type { AccountIdentity } from './account.ts';

/** What a token opens, as the token specification writes it. */
export interface Grant {
  readonly type: 'repository';
  readonly name: string;
  readonly actions: readonly string[];
}

type TokenVerdict =
  | { readonly kind: 'valid'; readonly identity: AccountIdentity; readonly grants: readonly Grant[] }
  | { readonly kind: 'expired' }
  | { readonly kind: 'invalid' };

interface IssuedToken {
  readonly text: string;
  readonly lifetimeS: number;
  readonly issuedAt: Date;
}

/**
 * Signs and reads the site's own tokens (JWT, HS256).
 * @see https://distribution.github.io/distribution/spec/auth/jwt/
 */
export interface TokenIssuer {
  issue(identity: AccountIdentity, grants: readonly Grant[]): Promise<IssuedToken>;
  /** A token of a login that is gone, or whose password has changed since, is invalid. */
  verify(token: string): Promise<TokenVerdict>;
}

/** Names both who signs and whom the tokens are for: `service` in the challenge. */
export const SERVICE = 'metahub';
/** Long enough for a pull's requests, short enough that a removed login ends soon even with another replica. */
const LIFETIME_S = 300;
const ALGORITHM = 'HS256';
/** Replicas' clocks may differ by this much. */
const CLOCK_TOLERANCE_S = 5;

export interface TokensOptions {
  readonly key: Uint8Array;
  readonly find: (login: string) => AccountIdentity | undefined;
  /** The wall clock, in milliseconds. */
  readonly now: () => number;
  readonly lifetimeS?: number;
}

/** A grant is read as strictly as if somebody else had written it. */
function readGrants(access: unknown): readonly Grant[] {
  if (!Array.isArray(access)) return [];
  return access.filter(
    (grant): grant is Grant =>
      grant?.type === 'repository' && typeof grant.name === 'string' && Array.isArray(grant.actions),
  );
}

/** Tokens that every process with the same key takes; nothing is kept of them. */
export function createTokenIssuer({ key, find, now, lifetimeS = LIFETIME_S }: TokensOptions): TokenIssuer {
  /** Ties a token to the password it was given for, without telling anything about that. */
  function stampOf({ login, password }: AccountIdentity): string {
    return createHmac('sha256', key)
      .update(JSON.stringify([login, password.text]))
      .digest('base64url')
      .slice(0, 16);
  }

  return {
    issue: async (identity, grants) => {
      const issuedAt = Math.floor(now() / 1000);
      const text = await new SignJWT({ access: grants, stamp: stampOf(identity) })
        .setProtectedHeader({ alg: ALGORITHM, typ: 'JWT' })
        .setIssuer(SERVICE)
        .setAudience(SERVICE)
        .setSubject(identity.login)
        .setIssuedAt(issuedAt)
        .setExpirationTime(issuedAt + lifetimeS)
        .sign(key);
      return { text, lifetimeS, issuedAt: new Date(issuedAt * 1000) };
    },
    verify: async (token) => {
      try {
        const { payload } = await jwtVerify(token, key, {
          algorithms: [ALGORITHM],
          issuer: SERVICE,
          audience: SERVICE,
          currentDate: new Date(now()),
          clockTolerance: CLOCK_TOLERANCE_S,
          requiredClaims: ['sub', 'exp', 'stamp'],
        });
        const identity = find(payload.sub ?? '');
        if (identity === undefined || payload['stamp'] !== stampOf(identity)) return { kind: 'invalid' };
        return { kind: 'valid', identity, grants: readGrants(payload['access']) };
      } catch (error) {
        if (error instanceof errors.JWTExpired) return { kind: 'expired' };
        if (error instanceof errors.JOSEError) return { kind: 'invalid' };
        throw error;
      }
    },
  };
}
