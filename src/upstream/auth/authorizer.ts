import { parseRepositoryName, type RepositoryName } from '../../oci/reference.ts';
import type { Access } from '../../oci/registry.ts';
import { RegistryError } from '../../oci/registry-error.ts';
import { drain } from '../http/response-reader.ts';
import type { Reply } from '../http/transport.ts';
import { type Challenge, parseChallenges, scopeOf } from './challenge.ts';
import { basicAuthorization, type Credential, type Credentials, mayReceiveLogin } from './credentials.ts';
import type { TokenCache, TokenRequest } from './token.ts';

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
  /** The scope to ask a token for: that of a pull when not said. */
  readonly scopeOf?: ((challenge: Challenge, name: RepositoryName) => string) | undefined;
}

/** The realm of a Bearer challenge. @throws {RegistryError} UNAVAILABLE when it leaves https for http, or is no URL. */
function realmOf({ parameters }: Challenge, root: URL): URL {
  const text = parameters.get('realm') ?? '';
  const realm = URL.canParse(text) ? new URL(text) : undefined;
  if (realm === undefined || !/^https?:$/.test(realm.protocol) || realm.username !== '') {
    throw new RegistryError('UNAVAILABLE', `${root.host} names a token service that is no URL`);
  }
  if (root.protocol === 'https:' && realm.protocol === 'http:') {
    throw new RegistryError('UNAVAILABLE', `${root.host} names a token service without https: refused`);
  }
  return realm;
}

/** What `name` is called at the registry itself: `hub-proxy/library/alpine` where the API's root is `/v2/hub-proxy`. */
function wholeName({ pathname }: URL, name: RepositoryName): RepositoryName {
  const prefix = pathname.split('/v2/')[1];
  return (prefix && parseRepositoryName(`${prefix}/${name}`)) || name;
}

/** Does the token service not know us, rather than fail? */
function isRefusal(error: unknown): boolean {
  return error instanceof RegistryError && error.code === 'UNAUTHORIZED';
}

/** Told apart by name, not by secret: a changed password outlives at most one token. */
function keyOf(name: RepositoryName, login: Credential | undefined, access: Access | undefined): string {
  const username = login?.kind === 'basic' ? login.username : undefined;
  return JSON.stringify([name, login?.kind, username, access?.logins]);
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
      warn(`the login for ${registry} was refused by ${request.realm.host}: going on without it`);
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
    const allowed = login !== undefined && mayReceiveLogin(root, realm, isTrusted);
    if (login && !allowed) {
      warn(
        `${registry} names ${realm.host} as its token service: not shown the login, as it is not a trusted host`,
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
    const bearer = challenges.find(
      ({ scheme, parameters }) => scheme === 'bearer' && parameters.has('realm'),
    );
    if (bearer) return meetBearer(bearer, name, login, key);
    if (login?.kind !== 'basic' || !challenges.some(({ scheme }) => scheme === 'basic')) return undefined;
    return kept(key, basicAuthorization(login.username, login.password));
  }

  /** Only the registry's own challenge is met: one from a host it redirected to has no business with its logins. */
  const isChallenge = ({ status, url }: Reply) => status === 401 && url.origin === root.origin;
  /** Of an authorization that was good once: ECR refuses a password of yesterday with 403, where others challenge. */
  const mayBeSpent = ({ status, url }: Reply) =>
    (status === 401 || status === 403) && url.origin === root.origin;

  return async (name, attempt, { signal, access } = {}) => {
    const login = await credentials.loginFor(registry, wholeName(root, name), signal, access);
    const key = keyOf(name, login, access);
    const known = await tokens.current(key);
    const first = await attempt(known);
    if (known === undefined ? !isChallenge(first) : !mayBeSpent(first)) return first;
    let refused = first;
    if (known !== undefined) {
      // The challenge to a token that has gone bad may name a dead realm (NGC does): ask for a fresh one.
      tokens.drop(key, known);
      drain(first);
      refused = await attempt(undefined);
      if (!isChallenge(refused)) return refused;
    }
    const challenges = parseChallenges(refused.headers['www-authenticate'] ?? '');
    const authorization = await meet(challenges, name, login, key).catch((error: unknown) => {
      if (options.passThrough && isRefusal(error)) return undefined;
      drain(refused);
      throw error;
    });
    if (authorization === undefined) return refused;
    drain(refused);
    const answer = await attempt(authorization);
    if (isChallenge(answer)) tokens.drop(key, authorization);
    return answer;
  };
}
