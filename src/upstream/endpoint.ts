import { hostOf, portOf } from '../lib/url.ts';
import { parseSourceHost, type Repository } from '../oci/reference.ts';
import type { RequestOptions } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import { createAuthorizer } from './auth/authorizer.ts';
import type { Credentials } from './auth/credentials.ts';
import type { TokenCache } from './auth/token.ts';
import { fromNetworkError, fromStatus, isAbort, type ResourceRef } from './errors.ts';
import { followRedirects } from './http/redirect.ts';
import { drain } from './http/response-reader.ts';
import { type Outgoing, type Reply, type Transport, USER_AGENT } from './http/transport.ts';
import { apiRootOf, type EndpointSettings } from './settings.ts';

/** A question to a registry, below a repository. */
export interface UpstreamRequest {
  readonly method: 'GET' | 'HEAD';
  /** `/manifests/latest`, `/tags/list`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>> | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** The statuses that are an answer; any other is an error. */
  readonly accepts: readonly number[];
  readonly subject: ResourceRef;
  /** Which redirects are followed; `origin`: one that leaves the registry's is itself the answer. Any when not said. */
  readonly follow?: 'any' | 'origin' | undefined;
  /** The answer may be long. */
  readonly isForBlob?: boolean | undefined;
  readonly options: RequestOptions;
  /** `Via` for the loop guard. */
  readonly via: string;
}

/** One registry, its logins and its redirects included: a question becomes an accepted answer or a RegistryError. */
export interface Endpoint {
  readonly host: string;
  readonly ask: (repository: Repository, question: UpstreamRequest) => Promise<Reply>;
}

export interface EndpointOptions {
  readonly settings: EndpointSettings;
  readonly send: Transport['send'];
  /** What may be long comes by this one. */
  readonly sendForBlob: Transport['send'];
  readonly tokens: TokenCache;
  readonly credentials: Credentials;
  readonly warn: (message: string) => void;
}

/** Does `host:port` stand on the list of hosts, with or without its port? */
export function isListed(hosts: readonly string[] | undefined, host: string, port: number): boolean {
  return hosts?.some((entry) => entry === host || entry === `${host}:${port}`) === true;
}

function urlOf(root: URL, repository: Repository, { path, query = {} }: UpstreamRequest, ns: boolean): URL {
  const url = new URL(`${root.href}/${repository.name}${path}`);
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) url.searchParams.set(name, value);
  }
  if (ns) url.searchParams.set('ns', repository.host);
  return url;
}

/** A success that is a web page is a captive portal or a gateway's sign-in page, not a registry. */
function refuseWebPage(reply: Reply): void {
  if (!/^\s*(?:text\/html|application\/xhtml)/i.test(reply.headers['content-type'] ?? '')) return;
  reply.body.cancel();
  throw new RegistryError(
    'UNAVAILABLE',
    `${reply.url.host} answered with a web page: is a proxy or a captive portal between?`,
  );
}

function failureOf(
  reply: Reply,
  root: URL,
  { subject }: UpstreamRequest,
  passThrough: boolean,
): RegistryError {
  drain(reply);
  const isElsewhere = reply.url.origin !== root.origin;
  if (isElsewhere && (reply.status === 401 || reply.status === 403)) {
    const message = `${reply.url.host}, where ${root.host} redirects, answered ${reply.status} for ${subject.name}`;
    return new RegistryError('UNAVAILABLE', message);
  }
  const error = fromStatus(reply, subject);
  const challenge = reply.headers['www-authenticate'];
  if (!passThrough || error.code !== 'UNAUTHORIZED' || challenge === undefined) return error;
  // With a pass-through the client meets the registry's challenge itself, so it has to hear it.
  return new RegistryError(error.code, error.message, { headers: { 'www-authenticate': challenge } });
}

export function createEndpoint(endpoint: EndpointOptions): Endpoint {
  const { settings, tokens, credentials, warn } = endpoint;
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
  });

  async function sendAsAllowed(repository: Repository, question: UpstreamRequest): Promise<Reply> {
    const { method, options, via } = question;
    const send = question.isForBlob ? endpoint.sendForBlob : endpoint.send;
    const url = urlOf(root, repository, question, settings.ns === true);
    const attempt = async (authorization: string | undefined) => {
      const outgoing: Outgoing = {
        method,
        url,
        headers: {
          'accept-encoding': 'identity',
          'user-agent': USER_AGENT,
          via,
          ...question.headers,
          ...(authorization === undefined ? {} : { authorization }),
        },
        signal: options.signal,
      };
      const reply = await send(outgoing);
      return followRedirects(send, outgoing, reply, question.follow);
    };
    const passed = passThrough ? options.access?.authorization : undefined;
    return passed === undefined ? authorize(repository.name, attempt, options) : attempt(passed);
  }

  return {
    host: root.host,
    ask: async (repository, question) => {
      let reply: Reply;
      try {
        reply = await sendAsAllowed(repository, question);
      } catch (error) {
        if (isAbort(error) || question.options.signal?.aborted) throw error;
        throw fromNetworkError(error, root.host);
      }
      if (!question.accepts.includes(reply.status)) throw failureOf(reply, root, question, passThrough);
      refuseWebPage(reply);
      return reply;
    },
  };
}
