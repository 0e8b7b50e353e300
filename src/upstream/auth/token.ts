import { LRUCache } from 'lru-cache';
import { objectOf, parseJson } from '../../lib/json.ts';
import { entriesAtMost } from '../../lib/lru.ts';
import { SingleFlight } from '../../lib/single-flight.ts';
import { type WebLocation, withQuery } from '../../lib/url.ts';
import { RegistryError } from '../../oci/registry-error.ts';
import { drain, followRedirects, noticesOf, readBody } from '../http/reply.ts';
import { type Outgoing, type Reply, type Transport, USER_AGENT } from '../http/transport.ts';
import type { Timeouts } from '../settings.ts';
import { basicAuthorization, type Credential } from './credentials.ts';

/** A challenge of a `WWW-Authenticate` header. Scheme and parameter names are in lower case. */
export interface Challenge {
  readonly scheme: string;
  readonly parameters: ReadonlyMap<string, string>;
}

const HEADER_MAX_CHARACTERS = 8192;

const SEPARATORS = /[\s,]*/y;
const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
/**
 * `=value` after a parameter's name: a quoted string with escapes, or a token. Accepts any token up to a comma
 * or space.
 */
const VALUE = /\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))/y;
/** The token68 that a scheme may have instead of parameters (RFC 9110, section 11.2). */
const TOKEN68 = /[ \t]+[0-9A-Za-z._~+/-]+=*(?=[ \t]*(?:,|$))/y;

/** Applies sticky regular expressions at a position that moves through the text. */
function scannerOf(text: string) {
  let position = 0;
  return {
    atEnd: () => position >= text.length,
    skipOne: () => {
      position += 1;
    },
    take: (pattern: RegExp): RegExpExecArray | undefined => {
      pattern.lastIndex = position;
      const match = pattern.exec(text);
      if (match === null) return undefined;
      position = pattern.lastIndex;
      return match;
    },
  };
}

/**
 * Parses the challenges of a `WWW-Authenticate` value, in order. One header may contain several challenges, and
 * quoted parameters may contain commas. Malformed parts are skipped, not an error: MetaHub does not answer such
 * a challenge.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1
 */
export function parseChallenges(header: string): readonly Challenge[] {
  const challenges: { scheme: string; parameters: Map<string, string> }[] = [];
  const scan = scannerOf(header.slice(0, HEADER_MAX_CHARACTERS));
  while (!scan.atEnd()) {
    scan.take(SEPARATORS);
    const name = scan.take(TOKEN)?.[0].toLowerCase();
    if (name === undefined) {
      scan.skipOne();
      continue;
    }
    const value = scan.take(VALUE);
    if (value === undefined) {
      challenges.push({ scheme: name, parameters: new Map() });
      scan.take(TOKEN68);
      continue;
    }
    const parameters = challenges.at(-1)?.parameters;
    // A repeated parameter does not replace the first one.
    if (parameters && !parameters.has(name)) {
      parameters.set(name, value[1]?.replaceAll(/\\(.)/g, '$1') ?? value[2] ?? '');
    }
  }
  return challenges;
}

/** A resource scope: type (`repository`, `repository(plugin)`), name and actions. */
const SCOPE = /^([a-z0-9]+(?:\([a-z0-9]+\))?):([a-zA-Z0-9/._:-]{1,300}):([a-z_,*]{1,100})$/;
/** A scope that is only a name of the registry's choice (`aws` at public.ecr.aws). */
const NAMED_SCOPE = /^[a-z0-9][a-z0-9._-]{0,63}$/i;

const READING = ['pull', 'metadata_read', 'content_read'];
const PUSHING = [...READING, 'push', 'metadata_write', 'content_write'];

/** Restricts a scope to these actions. Undefined when none is left or the scope cannot be parsed. */
function restrictScope(scope: string, actions: readonly string[]): string | undefined {
  if (NAMED_SCOPE.test(scope)) return scope;
  const [, type, name, asked = ''] = SCOPE.exec(scope) ?? [];
  const left = asked.split(',').filter((action) => actions.includes(action));
  return left.length === 0 ? undefined : `${type}:${name}:${left.join(',')}`;
}

/** The scopes of the challenge, restricted to `actions`. Adds `own` when the challenge names no repository. */
function scopesOf(challenge: Challenge, actions: readonly string[], own: string): string {
  const asked = (challenge.parameters.get('scope') ?? '')
    .split(' ')
    .map((scope) => restrictScope(scope, actions))
    .filter((scope) => scope !== undefined);
  return (asked.some((scope) => scope.startsWith('repository')) ? asked : [...asked, own]).join(' ');
}

/**
 * The scopes to request for a pull, separated by spaces. They are the challenge's own, restricted to reading:
 * behind a path prefix only the registry knows the repository's full name, and some registries have scope types
 * of their own. When the challenge names no repository, a pull of `repository` is added.
 */
export function scopeOf(challenge: Challenge, repository: string): string {
  return scopesOf(challenge, READING, `repository:${repository}:pull`);
}

/** As {@link scopeOf}, for a push. A cross-repository mount needs two scopes at once. */
export function pushScopeOf(challenge: Challenge, repository: string): string {
  return scopesOf(challenge, PUSHING, `repository:${repository}:pull,push`);
}

/** What a token is requested with. */
export interface TokenRequest {
  readonly realm: WebLocation;
  readonly service: string | undefined;
  readonly scope: string;
  readonly login: Credential | undefined;
}

/** The `Authorization` values for a registry, kept while they are valid. */
export interface TokenCache {
  /**
   * The valid authorization for `key`; one that expires soon is renewed in the background. Undefined when there
   * is none, or, if `scope` is given, none for that scope.
   */
  current(key: string, scope?: string): Promise<string | undefined>;
  /** Requests a token and stores it under `key`. Concurrent calls for the same key and scope share one request. */
  obtain(key: string, request: TokenRequest): Promise<string>;
  /** Stores an authorization that does not expire. */
  keep(key: string, authorization: string): void;
  /** Drops an authorization that the registry refused, unless another one has replaced it. */
  drop(key: string, authorization: string): void;
}

interface KeptAuthorization {
  readonly authorization: string;
  readonly renewAt: number;
  readonly expiresAt: number;
  readonly request?: TokenRequest;
}

interface Token {
  readonly text: string;
  readonly lifetimeMs: number;
}

const TOKENS_MAX = 2000;
const TOKEN_RESPONSE_MAX_BYTES = 64 * 1024;
/**
 * The lifetime of a token when its service states none.
 * @see https://distribution.github.io/distribution/spec/auth/token/
 */
const DEFAULT_LIFETIME_S = 60;
/** A token is renewed after this share of its lifetime, so that it does not expire while a request is on its way. */
const RENEW_AFTER = 0.8;
const CLIENT_ID = 'metahub';

/** Some services write the number as a string. */
function readLifetimeS(value: unknown): number {
  const seconds = typeof value === 'string' || typeof value === 'number' ? Number(value) : 0;
  return seconds > 0 ? seconds : DEFAULT_LIFETIME_S;
}

/**
 * The token and its lifetime in a token service's answer.
 * @throws {RegistryError} UNAVAILABLE when it has none
 */
export function readToken(bytes: Buffer, host: string): Token {
  let document: unknown;
  try {
    document = parseJson(bytes);
  } catch (cause) {
    throw new RegistryError('UNAVAILABLE', `the token service ${host} did not answer with JSON`, { cause });
  }
  const fields = objectOf(document);
  const text = [fields['token'], fields['access_token']].find(
    (field) => typeof field === 'string' && field !== '',
  );
  // A header value: visible ASCII only.
  if (typeof text !== 'string' || !/^[\x21-\x7e]+$/.test(text)) {
    throw new RegistryError('UNAVAILABLE', `the token service ${host} sent no token`);
  }
  return { text, lifetimeMs: readLifetimeS(fields['expires_in']) * 1000 };
}

function outgoingFor({ realm, service, scope, login }: TokenRequest): Outgoing {
  const headers = { accept: 'application/json', 'accept-encoding': 'identity', 'user-agent': USER_AGENT };
  if (login?.kind === 'identity') {
    const form = new URLSearchParams({ grant_type: 'refresh_token', refresh_token: login.token, scope });
    form.set('client_id', CLIENT_ID);
    if (service !== undefined) form.set('service', service);
    const body = form.toString();
    return {
      method: 'POST',
      ...realm,
      body,
      headers: { ...headers, 'content-type': 'application/x-www-form-urlencoded' },
    };
  }
  const query = new URLSearchParams();
  if (service !== undefined && !realm.url.searchParams.has('service')) query.set('service', service);
  for (const one of scope.split(' ')) query.append('scope', one);
  const target = withQuery(realm.target, query.toString());
  if (login?.kind !== 'basic') return { method: 'GET', url: realm.url, target, headers };
  const authorization = basicAuthorization(login.username, login.password);
  return { method: 'GET', url: realm.url, target, headers: { ...headers, authorization } };
}

/** Maps a token service's error status to the error for the client. */
function refusal({ status, url, headers }: Reply): RegistryError {
  const said = `the token service ${url.host} answered ${status}`;
  if (status === 401 || status === 403) {
    return new RegistryError('UNAUTHORIZED', `${said}: the login is refused, or there is none`);
  }
  const code = status === 429 ? 'TOOMANYREQUESTS' : 'UNAVAILABLE';
  return new RegistryError(code, said, { headers: noticesOf(headers) });
}

/** Creates a token cache in memory. `now`: monotonic milliseconds. */
export function createTokenCache(options: {
  readonly send: Transport['send'];
  readonly timeouts: Timeouts;
  readonly now: () => number;
}): TokenCache {
  const { send, timeouts, now } = options;
  const kept = new LRUCache<string, KeptAuthorization>(entriesAtMost(TOKENS_MAX));
  const requests = new SingleFlight<string>();

  async function fetchToken(request: TokenRequest): Promise<Token> {
    const outgoing = outgoingFor(request);
    const first = await send(outgoing);
    const reply = outgoing.method === 'GET' ? await followRedirects(send, outgoing, first) : first;
    if (reply.status < 200 || reply.status > 299) {
      drain(reply);
      throw refusal(reply);
    }
    const bytes = await readBody(reply, TOKEN_RESPONSE_MAX_BYTES, timeouts.documentMs);
    return readToken(bytes, request.realm.url.host);
  }

  async function fetchAndKeep(key: string, request: TokenRequest): Promise<string> {
    const askedAt = now();
    const { text, lifetimeMs } = await fetchToken(request);
    const authorization = `Bearer ${text}`;
    const renewAt = askedAt + lifetimeMs * RENEW_AFTER;
    kept.set(key, { authorization, renewAt, expiresAt: askedAt + lifetimeMs, request });
    return authorization;
  }

  const obtain = (key: string, request: TokenRequest) =>
    requests.share(JSON.stringify([key, request.scope]), undefined, () => fetchAndKeep(key, request));

  return {
    obtain,
    current: async (key, scope) => {
      const entry = kept.get(key);
      if (scope !== undefined && entry?.request?.scope !== scope) return undefined;
      if (entry?.request === undefined || now() < entry.renewAt) return entry?.authorization;
      // A failed renewal does not fail the request: the registry will send a challenge again.
      const renewal = obtain(key, entry.request).catch(() => undefined);
      return now() < entry.expiresAt ? entry.authorization : renewal;
    },
    keep: (key, authorization) => {
      const never = Number.POSITIVE_INFINITY;
      kept.set(key, { authorization, renewAt: never, expiresAt: never });
    },
    drop: (key, authorization) => {
      if (kept.get(key)?.authorization === authorization) kept.delete(key);
    },
  };
}
