import { createHash } from 'node:crypto';
import { formatLocation, resolveReference, type WebLocation } from '../../lib/address.ts';
import { parseRepositoryName, type RepositoryName } from '../../oci/reference.ts';
import type { Access } from '../../oci/registry.ts';
import { RegistryError } from '../../oci/registry-error.ts';
import { drain, type MeetElsewhere } from '../http/reply.ts';
import type { Reply } from '../http/transport.ts';
import { basicAuthorization, type Credential, type Credentials, mayReceiveLogin } from './credentials.ts';
import { type Challenge, parseChallenges, scopeOf, type TokenCache, type TokenRequest } from './token.ts';

/** Sends the request with this `Authorization`, or with none. */
type Attempt = (authorization: string | undefined) => Promise<Reply>;

/** Gets a request past one registry's challenge. */
export type Authorizer = (
  name: RepositoryName,
  attempt: Attempt,
  options?: { readonly signal?: AbortSignal | undefined; readonly access?: Access | undefined },
) => Promise<Reply>;

export interface AuthorizerOptions {
  /** The registry's API root: what a login is for. */
  readonly root: URL;
  /** The host by which its login is looked up. */
  readonly registry: string;
  readonly credentials: Credentials;
  readonly tokens: TokenCache;
  readonly isTrusted: (realm: URL) => boolean;
  readonly warn: (message: string) => void;
  /** A challenge that this mirror cannot meet is for the client to meet: it must come through to it. */
  readonly passThrough?: boolean | undefined;
  /** Asks the registry's API root, as a stranger. Without it, only the answer itself can challenge. */
  readonly ping?: ((signal: AbortSignal | undefined) => Promise<Reply>) | undefined;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** The scope to ask a token for: that of a pull when not said. */
  readonly scopeOf?: ((challenge: Challenge, name: RepositoryName) => string) | undefined;
}

/** The realm of a Bearer challenge. @throws {RegistryError} UNAVAILABLE when it leaves https for http, or is no URL. */
function realmOf({ parameters }: Challenge, asker: URL): WebLocation {
  const text = parameters.get('realm') ?? '';
  const realm = URL.canParse(text) ? resolveReference(text, { url: asker, target: '/' }) : undefined;
  if (realm === undefined || !/^https?:$/.test(realm.url.protocol) || realm.url.username !== '') {
    throw new RegistryError('UNAVAILABLE', `${asker.host} names a token service that is no URL`);
  }
  if (asker.protocol === 'https:' && realm.url.protocol === 'http:') {
    throw new RegistryError('UNAVAILABLE', `${asker.host} names a token service without https: refused`);
  }
  return realm;
}

function bearerOf(challenges: readonly Challenge[]): Challenge | undefined {
  return challenges.find(({ scheme, parameters }) => scheme === 'bearer' && parameters.has('realm'));
}

/** What `name` is called at the registry itself: `hub-proxy/library/alpine` where the API's root is `/v2/hub-proxy`. */
function wholeName({ pathname }: URL, name: RepositoryName): RepositoryName {
  const prefix = pathname.split('/v2/')[1];
  return (prefix && parseRepositoryName(`${prefix}/${name}`)) || name;
}

/** For how long a registry that challenged nobody at its root is taken to be open. */
const OPEN_MAX_AGE_MS = 60_000;

/** The repository in the path of an API request. */
const NAME_IN_TARGET = /\/v2\/([a-z0-9._/-]{1,255})\/(?:manifests|blobs|tags|referrers)\//;

/** Does the token service not know us, rather than fail? */
function isRefusal(error: unknown): boolean {
  return error instanceof RegistryError && error.code === 'UNAUTHORIZED';
}

/** Another login, or the same with another secret, has tokens of its own: what the former one was given ends with it. */
function keyOf(name: RepositoryName, login: Credential | undefined, access: Access | undefined): string {
  const secret = login && createHash('sha256').update(JSON.stringify(login)).digest('base64url');
  return JSON.stringify([name, secret, access?.logins]);
}

/** Meets challenges with the login that is stored for a repository, as far as the token service may see it. */
export function createAuthorizer(options: AuthorizerOptions): Authorizer {
  const { root, registry, credentials, tokens, isTrusted, warn } = options;
  const wantedScope = options.scopeOf ?? scopeOf;

  /** A token as `login`, or as nobody when the login is refused: a stale login must not cost a public image. */
  async function tokenFor(key: string, request: TokenRequest): Promise<string> {
    try {
      return await tokens.obtain(key, request);
    } catch (error) {
      if (!isRefusal(error) || request.login === undefined) throw error;
      warn(`the login for ${registry} was refused by ${request.realm.url.host}: going on without it`);
      return tokens.obtain(key, { ...request, login: undefined });
    }
  }

  async function meetBearer(
    challenge: Challenge,
    name: RepositoryName,
    login: Credential | undefined,
    key: string,
  ) {
    const realm = realmOf(challenge, root);
    const allowed = login !== undefined && mayReceiveLogin(root, realm.url, isTrusted);
    if (login && !allowed) {
      warn(
        `${registry} names ${realm.url.host} as its token service: not shown the login, as it is not a trusted host`,
      );
    }
    return tokenFor(key, {
      realm,
      service: challenge.parameters.get('service'),
      scope: wantedScope(challenge, name),
      login: allowed ? login : undefined,
    });
  }

  function kept(key: string, authorization: string): string {
    tokens.keep(key, authorization);
    return authorization;
  }

  /** An `Authorization` that meets one of the challenges; undefined when none can be met. */
  async function meet(
    challenges: readonly Challenge[],
    name: RepositoryName,
    login: Credential | undefined,
    key: string,
  ) {
    if (login?.kind === 'bearer') return kept(key, `Bearer ${login.token}`);
    const bearer = bearerOf(challenges);
    if (bearer) return meetBearer(bearer, name, login, key);
    if (login?.kind !== 'basic' || !challenges.some(({ scheme }) => scheme === 'basic')) return undefined;
    return kept(key, basicAuthorization(login.username, login.password));
  }

  /** Only the registry's own challenge is met: one from a host it redirected to has no business with its logins. */
  const isChallenge = ({ status, url }: Reply) => status === 401 && url.origin === root.origin;
  /** Of an authorization that was good once: ECR refuses a password of yesterday with 403, where others challenge. */
  const mayBeSpent = ({ status, url }: Reply) =>
    (status === 401 || status === 403) && url.origin === root.origin;

  const canMeet = (challenges: readonly Challenge[]) =>
    bearerOf(challenges) !== undefined || challenges.some(({ scheme }) => scheme === 'basic');

  /** Until when the API's root is taken to be open to everyone, as it was when it was last asked. */
  let openUntil = Number.NEGATIVE_INFINITY;

  /** What the API's root asks of who comes without a login. */
  async function pingChallenges(signal: AbortSignal | undefined): Promise<readonly Challenge[]> {
    if (options.ping === undefined || options.now() < openUntil) return [];
    const reply = await options.ping(signal);
    drain(reply);
    const challenges = isChallenge(reply) ? parseChallenges(reply.headers['www-authenticate'] ?? '') : [];
    if (!canMeet(challenges)) openUntil = options.now() + OPEN_MAX_AGE_MS;
    return challenges;
  }

  /**
   * The challenges to an answer that was given to a stranger. Some registries hide what strangers may not see, by 404 as a
   * rule, and challenge at the API's root only: worth a look when there is a login to show.
   */
  async function challengesTo(reply: Reply, hasLogin: boolean, signal: AbortSignal | undefined) {
    const own = isChallenge(reply) ? parseChallenges(reply.headers['www-authenticate'] ?? '') : [];
    const mayHide = [401, 403, 404].includes(reply.status) && reply.url.origin === root.origin;
    return canMeet(own) || !hasLogin || !mayHide ? own : pingChallenges(signal);
  }

  return async (name, attempt, { signal, access } = {}) => {
    const login = await credentials.loginFor(registry, wholeName(root, name), signal, access);
    const key = keyOf(name, login, access);
    const known = await tokens.current(key);
    let refused = await attempt(known);
    if (known !== undefined) {
      if (!mayBeSpent(refused)) return refused;
      // The challenge to a token that has gone bad may name a dead realm (NGC does): ask for a fresh one.
      tokens.drop(key, known);
      drain(refused);
      refused = await attempt(undefined);
    }
    const challenges = await challengesTo(refused, login !== undefined, signal);
    if (challenges.length === 0) return refused;
    const authorization = await meet(challenges, wholeName(root, name), login, key).catch(
      (error: unknown) => {
        if (options.passThrough && isRefusal(error)) return undefined;
        drain(refused);
        throw error;
      },
    );
    if (authorization === undefined) return refused;
    drain(refused);
    const answer = await attempt(authorization);
    if (isChallenge(answer)) tokens.drop(key, authorization);
    return answer;
  };
}

/**
 * Meets the challenge of a registry that another one redirects to, as vanity hosts do, with an anonymous token of its own
 * token service: a login of the registry that was asked has no business there, nor has a token of it.
 */
export function createAnonymousAuthorizer(tokens: TokenCache): MeetElsewhere {
  return async (refused, resend) => {
    const bearer = bearerOf(parseChallenges(refused.headers['www-authenticate'] ?? ''));
    const [, name] = NAME_IN_TARGET.exec(refused.target) ?? [];
    if (bearer === undefined || name === undefined) return refused;
    drain(refused);
    const realm = realmOf(bearer, refused.url);
    const service = bearer.parameters.get('service');
    const scope = scopeOf(bearer, name);
    const key = JSON.stringify(['anonymous', refused.url.origin, formatLocation(realm), service, scope]);
    const request = { realm, service, scope, login: undefined };
    const known = await tokens.current(key);
    const authorization = known ?? (await tokens.obtain(key, request));
    const answer = await resend(authorization);
    if (answer.status !== 401) return answer;
    tokens.drop(key, authorization);
    if (known === undefined) return answer;
    // A token that was good once: its time may be over earlier than it said.
    drain(answer);
    return resend(await tokens.obtain(key, request));
  };
}
