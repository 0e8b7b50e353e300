import { Agent, type IncomingMessage, type OutgoingHttpHeaders, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { createProxyServer } from 'httpxy';
import { FairBudget } from '../lib/fair-budget.ts';
import { hasBody } from '../lib/http.ts';
import type { Sealer } from '../lib/seal.ts';
import { formatLocation, hostOf, portOf, targetOf, type WebLocation, withQuery } from '../lib/url.ts';
import type { Digest } from '../oci/digest.ts';
import type { AdmittedWrite, PushForwarder, WriteRoute } from '../oci/push.ts';
import { formatManifestReference, type ManifestReference, type Repository } from '../oci/reference.ts';
import type { UpstreamOptions } from './client.ts';
import { ping } from './endpoint.ts';
import { fromNetworkError, isAbort } from './errors.ts';
import { drain, readBody } from './http/reply.ts';
import { type Outgoing, type Reply, USER_AGENT } from './http/transport.ts';
import { proxyAuthorization } from './net/dial.ts';
import { filteredHeaders, PushAnswers, statusFor } from './push-answers.ts';
import { withManifest } from './pushed-manifest.ts';
import { createPushHosts, type PushHost, type PushHosts, reachableLocation, UPLOAD_MS } from './pusher.ts';

export interface PushForwarderOptions extends UpstreamOptions {
  /** Seals the locations of uploads, so that clients cannot forge them. */
  readonly sealer: Sealer;
  /** Wall-clock milliseconds. */
  readonly wallClock: () => number;
  /** Called for each manifest that a registry has accepted. */
  readonly onManifest: (repository: Repository, reference: ManifestReference) => void | Promise<void>;
  /** How long a client may take to send a manifest, in milliseconds. Default: one minute. */
  readonly manifestMs?: number;
}

const ERROR_MAX_BYTES = 64 * 1024;
const ERROR_MS = 10_000;
/** Memory for the manifests of all clients, in bytes. */
const MANIFESTS_MAX_BYTES = 64 * 1024 * 1024;

/** Headers of the client's request that the registry receives. The login and `Via` are not among them. */
const REQUEST_HEADERS = new Set([
  'content-type',
  'content-length',
  'content-range',
  'transfer-encoding',
  'accept',
]);

/** Creates an agent for one request. It connects with {@link PushHost.dial}. */
function agentFor(host: PushHost, url: URL, proxy: URL | undefined): Agent {
  const to = proxy ?? url;
  const target = {
    host: hostOf(to),
    port: portOf(to),
    secure: to.protocol === 'https:',
    isProxy: proxy !== undefined,
  };
  // No reuse: a closed connection would look like a registry that refuses the body.
  const agent = new Agent({ keepAlive: false });
  const createConnection = (_options: unknown, connected: (error: Error | null, socket?: Socket) => void) => {
    host.dial(target).then((socket) => connected(null, socket), connected);
  };
  return Object.assign(agent, { createConnection });
}

interface Exchange {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly write: AdmittedWrite;
}

function locate(host: PushHost, { repository }: WriteRoute, path: string, query = ''): WebLocation {
  const url = new URL(`${host.root.href}/${repository.name}/${path}`);
  return { url, target: withQuery(targetOf(url), query) };
}

function digestQuery(digest: Digest | undefined): string {
  return digest === undefined ? '' : `digest=${encodeURIComponent(digest)}`;
}

/** Runs a request of a push. @throws {RegistryError} after a network failure; an abort unchanged */
async function overNetwork<Result>(host: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (isAbort(error)) throw error;
    throw fromNetworkError(error, host);
  }
}

/** Obtains the authorization for a push with a request to the API root. */
async function authorizationFor(host: PushHost, { route, access, signal }: AdmittedWrite) {
  let used: string | undefined;
  const attempt = (authorization: string | undefined) => {
    used = authorization;
    return ping(host.transport.send, host.root, signal, authorization);
  };
  drain(
    await overNetwork(host.root.host, () =>
      host.authorize(route.repository.name, attempt, { signal, access }),
    ),
  );
  return used;
}

/** Sends a request whose body is in memory, and sends it again with a login after a challenge. */
function send(host: PushHost, write: AdmittedWrite, outgoing: Omit<Outgoing, 'signal'>): Promise<Reply> {
  const { route, access, signal } = write;
  const attempt = (authorization: string | undefined) => {
    const login = authorization === undefined ? {} : { authorization };
    const headers = { 'user-agent': USER_AGENT, ...outgoing.headers, ...login };
    return host.transport.send({ ...outgoing, headers, headMs: UPLOAD_MS, signal });
  };
  return overNetwork(host.root.host, () =>
    host.authorize(route.repository.name, attempt, { signal, access }),
  );
}

/** Replaces the headers of the client's request with those that the registry receives. */
function replaceHeaders(req: IncomingMessage, headers: OutgoingHttpHeaders): void {
  const passed = { ...filteredHeaders(req.headers, REQUEST_HEADERS) };
  for (const name of Object.keys(req.headers)) delete req.headers[name];
  Object.assign(req.headers, passed, headers);
}

/** Streams requests to registries, and the answers to the clients, with httpxy. */
class UploadStream {
  readonly #proxy = createProxyServer({ ignorePath: true, xfwd: false, proxyTimeout: UPLOAD_MS });
  readonly #answers: PushAnswers;
  /** The request that each response belongs to. */
  readonly #relaying = new WeakMap<
    ServerResponse,
    { readonly write: AdmittedWrite; readonly asked: WebLocation }
  >();

  constructor(answers: PushAnswers) {
    this.#answers = answers;
    this.#proxy.on('proxyReq', (proxyReq) => {
      // Without a listener Node.js drops the connection, and the client gets no answer.
      proxyReq.once('upgrade', (_message, socket: Socket) => {
        socket.destroy();
        proxyReq.emit('error', new Error('the registry changed the protocol'));
      });
    });
    this.#proxy.on('proxyRes', (proxyRes, req, res) => this.#onReply(proxyRes, req, res as ServerResponse));
  }

  /** Streams the request to a location, and the answer to the client. */
  async send(host: PushHost, location: WebLocation, { req, res, write }: Exchange): Promise<void> {
    const { url, target } = location;
    const isOwn = url.origin === host.root.origin;
    const authorization = isOwn ? await authorizationFor(host, write) : undefined;
    const via = url.protocol === 'http:' ? host.proxyOf(url) : undefined;
    replaceHeaders(req, {
      host: url.host,
      'user-agent': USER_AGENT,
      ...(authorization === undefined ? {} : { authorization }),
      ...(via === undefined ? {} : proxyAuthorization(via)),
    });
    this.#relaying.set(res, { write, asked: location });
    // The agent's dial does TLS, so httpxy sees plain HTTP.
    const destination = {
      protocol: 'http:',
      hostname: hostOf(url),
      port: portOf(url),
      pathname: via === undefined ? target : formatLocation(location),
    };
    try {
      await this.#proxy.web(req, res, { target: destination, agent: agentFor(host, url, via) });
    } catch (error) {
      // A response that has begun can only be aborted.
      if (res.headersSent) res.destroy();
      else throw fromNetworkError(error, url.host);
    }
  }

  /** Rewrites the registry's answer before httpxy sends it. */
  #onReply(reply: IncomingMessage, req: IncomingMessage, res: ServerResponse): void {
    const relay = this.#relaying.get(res);
    if (relay === undefined) return;
    const { write, asked } = relay;
    const status = statusFor(reply.statusCode);
    const headers = this.#answers.headersFor(write, { status, headers: reply.headers, asked });
    // When the answer comes before the end of the body, the rest of the body must not be read as the next
    // request.
    const isOver = req.complete && res.shouldKeepAlive;
    for (const name of Object.keys(reply.headers)) delete reply.headers[name];
    Object.assign(reply.headers, headers, isOver ? {} : { connection: 'close' });
    reply.statusCode = status;
    // An invalid reason phrase would end the process, so Node.js sends its own.
    reply.statusMessage = '';
  }
}

/**
 * Forwards pushes to the registries unchanged. It streams blobs through httpxy and stores none of them; the
 * sealed session in the URL identifies the registry's upload.
 * @see https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#push
 */
class HttpPushForwarder implements PushForwarder {
  readonly #options: PushForwarderOptions;
  readonly #answers: PushAnswers;
  readonly #hosts: PushHosts;
  readonly #uploads: UploadStream;
  readonly #memory = new FairBudget(MANIFESTS_MAX_BYTES);

  constructor(options: PushForwarderOptions) {
    this.#options = options;
    this.#answers = new PushAnswers(options.sealer, options.wallClock);
    this.#hosts = createPushHosts(options);
    this.#uploads = new UploadStream(this.#answers);
  }

  async forward(req: IncomingMessage, res: ServerResponse, write: AdmittedWrite): Promise<void> {
    const { route } = write;
    const exchange = { req, res, write };
    switch (route.kind) {
      case 'begin-upload':
        return this.#beginUpload(exchange, route);
      case 'upload':
        return this.#continueUpload(exchange, route);
      case 'manifest':
        return this.#putManifest(exchange, route);
    }
  }

  close(): Promise<void> {
    return this.#hosts.close();
  }

  async #beginUpload(
    exchange: Exchange,
    route: WriteRoute & { readonly kind: 'begin-upload' },
  ): Promise<void> {
    const { req, write } = exchange;
    const host = this.#hosts.hostFor(route.repository);
    const { digest, mount } = route;
    if (hasBody(req)) {
      return this.#uploads.send(host, locate(host, route, 'blobs/uploads/', digestQuery(digest)), exchange);
    }
    // A mount needs the right to pull from that repository; without it the client uploads the blob.
    const from =
      mount?.from.host === route.repository.host && write.mayPull(mount.from) ? mount.from : undefined;
    const query =
      mount && from ? new URLSearchParams({ mount: mount.digest, from: from.name }).toString() : '';
    const location = locate(host, route, 'blobs/uploads/', query);
    const headers = { 'content-length': '0' };
    await this.#relay(exchange, await send(host, write, { method: 'POST', ...location, headers }));
  }

  async #continueUpload(
    exchange: Exchange,
    { repository, session, digest }: WriteRoute & { readonly kind: 'upload' },
  ): Promise<void> {
    const location = this.#answers.openSession(exchange.write, session);
    const host = this.#hosts.hostFor(repository);
    const { url, target } = await reachableLocation(host, location);
    await this.#uploads.send(host, { url, target: withQuery(target, digestQuery(digest)) }, exchange);
  }

  async #putManifest(exchange: Exchange, route: WriteRoute & { readonly kind: 'manifest' }): Promise<void> {
    const { req, write } = exchange;
    const { manifestMs, onManifest } = this.#options;
    const share = { client: write.client, source: route.repository.host };
    await withManifest(req, { budget: this.#memory, share, sendMs: manifestMs }, async (bytes) => {
      const host = this.#hosts.hostFor(route.repository);
      const reply = await send(host, write, {
        method: 'PUT',
        ...locate(host, route, `manifests/${formatManifestReference(route.reference)}`),
        headers: {
          'content-type': req.headers['content-type'] ?? 'application/octet-stream',
          'content-length': String(bytes.length),
        },
        body: bytes,
      });
      if (reply.status >= 200 && reply.status <= 299) await onManifest(route.repository, route.reference);
      await this.#relay(exchange, reply);
    });
  }

  /** Sends the client an answer that is in memory. */
  async #relay({ res, write }: Exchange, reply: Reply): Promise<void> {
    const { headers, url, target } = reply;
    const status = statusFor(reply.status);
    const body = await readBody(reply, ERROR_MAX_BYTES, ERROR_MS);
    const all = this.#answers.headersFor(write, { status, headers, asked: { url, target } });
    delete all['content-length'];
    res.writeHead(status, { ...all, 'content-length': String(body.length) }).end(body);
  }
}

export function createPushForwarder(
  options: PushForwarderOptions,
): PushForwarder & { close(): Promise<void> } {
  return new HttpPushForwarder(options);
}
