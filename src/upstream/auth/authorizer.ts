import { createHash } from 'node:crypto';
import { containsLogin, formatLocation, resolveReference, type WebLocation } from '../../lib/url.ts';
import { parseRepositoryName, type RepositoryName } from '../../oci/reference.ts';
import type { Access } from '../../oci/registry.ts';
import { RegistryError } from '../../oci/registry-error.ts';
import { drain, type MeetElsewhere } from '../http/reply.ts';
import type { Reply } from '../http/transport.ts';
import { basicAuthorization, type Credential, type Credentials, mayReceiveLogin } from './credentials.ts';
import { type Challenge, parseChallenges, scopeOf, type TokenCache, type TokenRequest } from './token.ts';

/** Sends the request with this `Authorization` header, or without one. */
type Attempt = (authorization: string | undefined) => Promise<Reply>;

/** On whose behalf a request is sent, and the signal that aborts it. */
interface Requester {
  readonly signal?: AbortSignal | undefined;
  readonly access?: Access | undefined;
}

/** Sends requests to one registry and answers its authentication challenges (401 with `WWW-Authenticate`). */
export type Authorizer = (name: RepositoryName, attempt: Attempt, requester?: Requester) => Promise<Reply>;

export interface AuthorizerOptions {
  /** The registry's API root. Its stored login may be sent to this origin. */
  readonly root: URL;
  /** The host name under which the login is stored. */
  readonly registry: string;
  readonly credentials: Credentials;
  readonly tokens: TokenCache;
  readonly isTrusted: (realm: URL) => boolean;
  readonly warn: (message: string) => void;
  /** Pass on a challenge that MetaHub cannot answer, so that the client answers it. */
  readonly passThrough?: boolean | undefined;
  /** Requests the registry's API root without a login. Without this, only the answer itself can contain a challenge. */
  readonly ping?: ((signal: AbortSignal | undefined) => Promise<Reply>) | undefined;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** The scope to request a token for. Default: the scope of a pull. */
  readonly scopeOf?: ((challenge: Challenge, name: RepositoryName) => string) | undefined;
}

/**
 * The realm (token endpoint) of a Bearer challenge.
 * @throws {RegistryError} UNAVAILABLE when it is not an http(s) URL, contains a login, or leaves https for http
 */
function realmOf({ parameters }: Challenge, asker: URL): WebLocation {
  const text = parameters.get('realm') ?? '';
  const realm = URL.canParse(text) ? resolveReference(text, { url: asker, target: '/' }) : undefined;
  if (realm === undefined || !/^https?:$/.test(realm.url.protocol) || containsLogin(realm.url)) {
    throw new RegistryError('UNAVAILABLE', `${asker.host} names a token service that is not a URL`);
  }
  if (asker.protocol === 'https:' && realm.url.protocol === 'http:') {
    throw new RegistryError('UNAVAILABLE', `${asker.host} names a token service without https: refused`);
  }
  return realm;
}

function bearerOf(challenges: readonly Challenge[]): Challenge | undefined {
  return challenges.find(({ scheme, parameters }) => scheme === 'bearer' && parameters.has('realm'));
}

/** The registry's own name of a repository: `hub-proxy/library/alpine` when the API root is `/v2/hub-proxy`. */
function wholeName({ pathname }: URL, name: RepositoryName): RepositoryName {
  const prefix = pathname.split('/v2/')[1];
  return (prefix && parseRepositoryName(`${prefix}/${name}`)) || name;
}

/** How long MetaHub remembers that a registry's API root sends no challenge, in milliseconds. */
const OPEN_MAX_AGE_MS = 60_000;

/** The repository in the path of an API request. */
const NAME_IN_TARGET = /\/v2\/([a-z0-9._/-]{1,255})\/(?:manifests|blobs|tags|referrers)\//;

/** True when the token service refuses the login; false when the service itself fails. */
function isRefusal(error: unknown): boolean {
  return error instanceof RegistryError && error.code === 'UNAUTHORIZED';
}

/**
 * The key of a token. It depends on the secret, so that a new login or password never uses the tokens of the
 * old one.
 */
function keyOf(name: RepositoryName, login: Credential | undefined, access: Access | undefined): string {
  const secret = login && createHash('sha256').update(JSON.stringify(login)).digest('base64url');
  return JSON.stringify([name, secret, access?.logins]);
}

function canMeet(challenges: readonly Challenge[]): boolean {
  return bearerOf(challenges) !== undefined || challenges.some(({ scheme }) => scheme === 'basic');
}

/** What a request needs a token for: the repository's full name, its login, and the token's key. */
interface Subject {
  readonly name: RepositoryName;
  readonly login: Credential | undefined;
  readonly key: string;
}

/** Answers challenges with the login that is stored for a repository, if the token service may receive it. */
class LoginAuthorizer {
  readonly #options: AuthorizerOptions;
  /** Until when the API root counts as open, because its last answer was no challenge. */
  #openUntil = Number.NEGATIVE_INFINITY;

  constructor(options: AuthorizerOptions) {
    this.#options = options;
  }

  async send(name: RepositoryName, attempt: Attempt, { signal, access }: Requester): Promise<Reply> {
    const { root, registry, credentials, tokens } = this.#options;
    const whole = wholeName(root, name);
    const login = await credentials.loginFor(registry, whole, signal, access);
    const key = keyOf(name, login, access);
    const known = await tokens.current(key);
    let refused = await attempt(known);
    if (known !== undefined) {
      if (!this.#mayBeSpent(refused)) return refused;
      // A challenge to an expired token may name a realm that does not exist (NGC's does), so MetaHub asks for
      // a fresh one.
      tokens.drop(key, known);
      drain(refused);
      refused = await attempt(undefined);
    }
    const challenges = await this.#challengesTo(refused, login !== undefined, signal);
    if (challenges.length === 0) return refused;
    const authorization = await this.#meetAfter(refused, challenges, { name: whole, login, key });
    if (authorization === undefined) return refused;
    drain(refused);
    const answer = await attempt(authorization);
    if (this.#isChallenge(answer)) tokens.drop(key, authorization);
    return answer;
  }

  /** Only the registry's own challenge: a host that it redirected to must not receive the registry's login. */
  #isChallenge({ status, url }: Reply): boolean {
    return status === 401 && url.origin === this.#options.root.origin;
  }

  /**
   * True for a status that may mean that a token or login has expired: most registries answer 401, but ECR
   * answers 403 to an expired password.
   */
  #mayBeSpent({ status, url }: Reply): boolean {
    return (status === 401 || status === 403) && url.origin === this.#options.root.origin;
  }

  /**
   * The challenges to a request without a login. Some registries hide private content, mostly behind 404, and
   * send the challenge only at their API root. So with a login MetaHub asks there too.
   */
  async #challengesTo(reply: Reply, hasLogin: boolean, signal: AbortSignal | undefined) {
    const own = this.#challengesIn(reply);
    const mayHide = [401, 403, 404].includes(reply.status) && reply.url.origin === this.#options.root.origin;
    return canMeet(own) || !hasLogin || !mayHide ? own : this.#pingChallenges(signal);
  }

  #challengesIn(reply: Reply): readonly Challenge[] {
    return this.#isChallenge(reply) ? parseChallenges(reply.headers['www-authenticate'] ?? '') : [];
  }

  /** The challenges that the API root sends to a client without a login. */
  async #pingChallenges(signal: AbortSignal | undefined): Promise<readonly Challenge[]> {
    const { ping, now } = this.#options;
    if (ping === undefined || now() < this.#openUntil) return [];
    const reply = await ping(signal);
    drain(reply);
    const challenges = this.#challengesIn(reply);
    if (!canMeet(challenges)) this.#openUntil = now() + OPEN_MAX_AGE_MS;
    return challenges;
  }

  /** An `Authorization` that answers one of the challenges; undefined when the client gets the refusal. */
  async #meetAfter(
    refused: Reply,
    challenges: readonly Challenge[],
    subject: Subject,
  ): Promise<string | undefined> {
    try {
      return await this.#meet(challenges, subject);
    } catch (error) {
      if (this.#options.passThrough && isRefusal(error)) return undefined;
      drain(refused);
      throw error;
    }
  }

  async #meet(challenges: readonly Challenge[], subject: Subject): Promise<string | undefined> {
    const { login, key } = subject;
    if (login?.kind === 'bearer') return this.#kept(key, `Bearer ${login.token}`);
    const bearer = bearerOf(challenges);
    if (bearer) return this.#meetBearer(bearer, subject);
    if (login?.kind !== 'basic' || !challenges.some(({ scheme }) => scheme === 'basic')) return undefined;
    return this.#kept(key, basicAuthorization(login.username, login.password));
  }

  #kept(key: string, authorization: string): string {
    this.#options.tokens.keep(key, authorization);
    return authorization;
  }

  async #meetBearer(challenge: Challenge, { name, login, key }: Subject): Promise<string> {
    const { root, registry, tokens, isTrusted, warn, scopeOf: wantedScope = scopeOf } = this.#options;
    const scope = wantedScope(challenge, name);
    // Another request may have obtained the token while this one was sent without one.
    const obtained = await tokens.current(key, scope);
    if (obtained !== undefined) return obtained;
    const realm = realmOf(challenge, root);
    const allowed = login !== undefined && mayReceiveLogin(root, realm.url, isTrusted);
    if (login && !allowed) {
      warn(
        `${registry} names ${realm.url.host} as its token service: MetaHub does not send it the login, because it is not a trusted host`,
      );
    }
    return this.#tokenFor(key, {
      realm,
      service: challenge.parameters.get('service'),
      scope,
      login: allowed ? login : undefined,
    });
  }

  /**
   * A token for the login. If the login is refused, an anonymous one: an outdated login must not block public
   * images.
   */
  async #tokenFor(key: string, request: TokenRequest): Promise<string> {
    const { tokens, registry, warn } = this.#options;
    try {
      return await tokens.obtain(key, request);
    } catch (error) {
      if (!isRefusal(error) || request.login === undefined) throw error;
      warn(`${request.realm.url.host} refused the login for ${registry}: MetaHub continues without it`);
      return tokens.obtain(key, { ...request, login: undefined });
    }
  }
}

export function createAuthorizer(options: AuthorizerOptions): Authorizer {
  const authorizer = new LoginAuthorizer(options);
  return (name, attempt, requester = {}) => authorizer.send(name, attempt, requester);
}

/**
 * Answers the challenge of another registry that the first one redirects to, as vanity hosts do, with an
 * anonymous token from that registry's token service. It never receives a login or token of the first registry.
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
    // The known token may have expired earlier than its service said.
    drain(answer);
    return resend(await tokens.obtain(key, request));
  };
}
