import { hostOf, portOf, targetOf, type WebLocation, withQuery } from '../lib/url.ts';
import { parseSourceHost, type Repository } from '../oci/reference.ts';
import type { RequestOptions } from '../oci/registry.ts';
import type { RegistryError } from '../oci/registry-error.ts';
import { createAnonymousAuthorizer, createAuthorizer } from './auth/authorizer.ts';
import type { Credentials } from './auth/credentials.ts';
import type { TokenCache } from './auth/token.ts';
import {
  codeSaidBy,
  fromNetworkError,
  fromStatus,
  isAbort,
  mayPassOnUnknown,
  passesOnUnknown,
  type ResourceRef,
  StatusError,
} from './errors.ts';
import { drain, followRedirects } from './http/reply.ts';
import { type Outgoing, type Reply, type Transport, USER_AGENT } from './http/transport.ts';
import { apiRootOf, type EndpointSettings } from './settings.ts';

/** A request to a registry, relative to a repository. */
export interface UpstreamRequest {
  readonly method: 'GET' | 'HEAD';
  /** The path below the repository: `/manifests/latest`, `/tags/list`. */
  readonly path: string;
  /** The encoded query, sent unchanged. */
  readonly query?: string | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** The statuses that are a success; any other becomes an error. */
  readonly accepts: readonly number[];
  readonly subject: ResourceRef;
  /** Which redirects to follow. With `origin`, a redirect to another origin is returned as the answer. Default: all. */
  readonly follow?: 'any' | 'origin' | undefined;
  /** True when the answer may be long. */
  readonly isForBlob?: boolean | undefined;
  readonly options: RequestOptions;
  /** The `Via` header, for loop detection. */
  readonly via: string;
}

/** One URL of a registry, with its logins and redirects. Every answer is an accepted reply or a RegistryError. */
export interface Endpoint {
  readonly host: string;
  readonly ask: (repository: Repository, request: UpstreamRequest) => Promise<Reply>;
}

export interface EndpointOptions {
  readonly settings: EndpointSettings;
  readonly send: Transport['send'];
  /** Sends requests whose answer may be long. */
  readonly sendForBlob: Transport['send'];
  readonly tokens: TokenCache;
  readonly credentials: Credentials;
  readonly warn: (message: string) => void;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

/** Requests a registry's API root. Without a login, the answer contains the challenge. */
export function ping(
  send: Transport['send'],
  root: URL,
  signal: AbortSignal | undefined,
  authorization?: string,
): Promise<Reply> {
  const login = authorization === undefined ? {} : { authorization };
  const headers = { 'accept-encoding': 'identity', 'user-agent': USER_AGENT, ...login };
  return send({ method: 'GET', url: new URL(`${root.href}/`), headers, signal });
}

/** True when the list contains the host, with or without its port. IPv6 addresses may be in brackets. */
export function isListed(hosts: readonly string[] | undefined, host: string, port: number): boolean {
  const spellings = [host, `[${host}]`, `${host}:${port}`, `[${host}]:${port}`];
  return hosts?.some((entry) => spellings.includes(entry.toLowerCase())) === true;
}

function locate(
  root: URL,
  repository: Repository,
  { path, query = '' }: UpstreamRequest,
  ns: boolean,
): WebLocation {
  const url = new URL(`${root.href}/${repository.name}${path}`);
  const meant = ns ? `ns=${encodeURIComponent(repository.host)}` : '';
  return { url, target: withQuery(withQuery(targetOf(url), query), meant) };
}

/** The last reply to a request, and whether the request had a login. */
interface Sent {
  readonly reply: Reply;
  readonly isAuthorized: boolean;
}

function outgoingFor(
  location: WebLocation,
  { method, options, via, headers }: UpstreamRequest,
  authorization: string | undefined,
): Outgoing {
  return {
    method,
    ...location,
    headers: {
      'accept-encoding': 'identity',
      'user-agent': USER_AGENT,
      via,
      ...(options.revalidate ? { 'cache-control': 'no-cache' } : {}),
      ...headers,
      ...(authorization === undefined ? {} : { authorization }),
    },
    signal: options.signal,
  };
}

/** Turns a reply with another status into the error for the client. */
async function failureOf(
  { reply, isAuthorized }: Sent,
  subject: ResourceRef,
  root: URL,
  passThrough: boolean,
): Promise<RegistryError> {
  const isElsewhere = reply.url.origin !== root.origin;
  const refusal = { isAuthorized, isElsewhere };
  const { status } = reply;
  if (isElsewhere && (status === 401 || status === 403)) {
    drain(reply);
    const message = `${reply.url.host}, where ${root.host} redirects, answered ${status} for ${subject.name}`;
    return new StatusError('UNAVAILABLE', message, status, refusal);
  }
  if (mayPassOnUnknown(reply, subject)) {
    if (await passesOnUnknown(reply)) {
      const message = `${reply.url.host} answered 500 for ${subject.name}, which its own registry does not know`;
      return new StatusError(subject.unknown, message, 404, refusal);
    }
    return fromStatus(reply, subject, refusal);
  }
  const isUnknownName = subject.readsCode && status === 404 && (await codeSaidBy(reply)) === 'NAME_UNKNOWN';
  if (!subject.readsCode) drain(reply);
  const challenge = reply.headers['www-authenticate'];
  // With pass-through the client itself answers the registry's challenge, so it receives the header.
  const isForClient = passThrough && status === 401 && challenge !== undefined;
  const more = isForClient ? { 'www-authenticate': challenge } : {};
  return fromStatus(reply, isUnknownName ? { ...subject, unknown: 'NAME_UNKNOWN' } : subject, refusal, more);
}

export function createEndpoint(endpoint: EndpointOptions): Endpoint {
  const { settings, tokens, credentials, warn, now } = endpoint;
  const root = apiRootOf(settings.url);
  const passThrough = settings.passThrough === true;
  const authorize = createAuthorizer({
    root,
    registry: parseSourceHost(root.host) ?? root.host,
    credentials,
    tokens,
    passThrough,
    isTrusted: (realm) => isListed(settings.trustedHosts, hostOf(realm), portOf(realm)),
    warn,
    now,
    ping: (signal) => ping(endpoint.send, root, signal),
  });
  const meetElsewhere = createAnonymousAuthorizer(tokens);

  async function sendAsAllowed(repository: Repository, request: UpstreamRequest): Promise<Sent> {
    const { options } = request;
    const send = request.isForBlob ? endpoint.sendForBlob : endpoint.send;
    const location = locate(root, repository, request, settings.ns === true);
    let isAuthorized = false;
    const attempt = async (authorization: string | undefined) => {
      isAuthorized = authorization !== undefined;
      const outgoing = outgoingFor(location, request, authorization);
      const reply = await send(outgoing);
      return followRedirects(send, outgoing, reply, { within: request.follow, meetElsewhere });
    };
    const passed = passThrough ? options.access?.credential?.authorizationFor(repository.host) : undefined;
    const reply =
      passed === undefined ? await authorize(repository.name, attempt, options) : await attempt(passed);
    return { reply, isAuthorized };
  }

  return {
    host: root.host,
    ask: async (repository, request) => {
      try {
        const sent = await sendAsAllowed(repository, request);
        if (request.accepts.includes(sent.reply.status)) return sent.reply;
        throw await failureOf(sent, request.subject, root, passThrough);
      } catch (error) {
        if (isAbort(error) || request.options.signal?.aborted) throw error;
        throw fromNetworkError(error, root.host);
      }
    },
  };
}
