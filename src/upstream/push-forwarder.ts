import { Agent, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { createProxyServer } from 'httpxy';
import { formatLocation, hostOf, portOf, targetOf, type WebLocation, withQuery } from '../lib/address.ts';
import { ByteBudget } from '../lib/byte-budget.ts';
import type { Sealer } from '../lib/seal.ts';
import type { AdmittedWrite, PushForwarder, WriteRoute } from '../oci/push.ts';
import { formatManifestReference, type ManifestReference, type Repository } from '../oci/reference.ts';
import { MANIFEST_MAX_BYTES } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import type { UpstreamOptions } from './client.ts';
import { ping } from './endpoint.ts';
import { fromNetworkError, isAbort } from './errors.ts';
import { drain, memoryExhausted, readBody } from './http/reply.ts';
import { type Outgoing, type Reply, USER_AGENT } from './http/transport.ts';
import { proxyAuthorization } from './net/proxy.ts';
import { filteredHeaders, PushAnswers, statusFor } from './push-answers.ts';
import { createPushHosts, type PushHost, reachableLocation } from './pusher.ts';

export interface PushForwarderOptions extends UpstreamOptions {
  /** Seals where uploads go on: only what a registry said is ever gone to. */
  readonly sealer: Sealer;
  /** Milliseconds of the wall clock. */
  readonly wallClock: () => number;
  /** Told of each manifest that a registry took. */
  readonly onManifest: (repository: Repository, reference: ManifestReference) => void;
}

/** A registry answers when all has arrived and been checked, in milliseconds. */
const UPLOAD_MS = 30 * 60 * 1000;
const ERROR_MAX_BYTES = 64 * 1024;
const ERROR_MS = 10_000;
/** Manifests on their way, all clients' together. */
const MANIFESTS_MAX_BYTES = 64 * 1024 * 1024;

/** What a client's request may tell the registry. Its login, its way here and everything else stay here. */
const REQUEST_HEADERS = new Set([
  'content-type',
  'content-length',
  'content-range',
  'transfer-encoding',
  'accept',
]);

function hasBody({ headers }: IncomingMessage): boolean {
  const length = headers['content-length'];
  return headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0');
}

/** The manifest, whole: it is sent again when a challenge has to be met. @throws {RegistryError} 413 */
async function readManifest(req: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of req as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes > MANIFEST_MAX_BYTES) {
      throw new RegistryError('MANIFEST_INVALID', 'the manifest is larger than 4 MiB', { status: 413 });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** One request's connection, opened by {@link PushHost.dial} like all others. */
function agentFor(host: PushHost, url: URL, proxy: URL | undefined): Agent {
  const to = proxy ?? url;
  const target = {
    host: hostOf(to),
    port: portOf(to),
    secure: to.protocol === 'https:',
    isProxy: proxy !== undefined,
  };
  // A kept connection that has died cannot be told from a registry that refuses, once the body is on its way.
  const agent = new Agent({ keepAlive: false });
  const createConnection = (_options: unknown, connected: (error: Error | null, socket?: Socket) => void) => {
    host.dial(target).then((socket) => connected(null, socket), connected);
  };
  return Object.assign(agent, { createConnection });
}

/**
 * Passes pushes on to the registries verbatim. Blobs stream through httpxy and are never kept; what tells one registry's
 * uploads from another's travels in the sealed session of the URL.
 * @see https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#push
 */
export function createPushForwarder(
  options: PushForwarderOptions,
): PushForwarder & { close(): Promise<void> } {
  const { onManifest } = options;
  const answers = new PushAnswers(options.sealer, options.wallClock);
  const hosts = createPushHosts(options);
  const memory = new ByteBudget(MANIFESTS_MAX_BYTES);
  const proxy = createProxyServer({ ignorePath: true, xfwd: false, proxyTimeout: UPLOAD_MS });
  const relaying = new WeakMap<
    ServerResponse,
    { readonly write: AdmittedWrite; readonly asked: WebLocation }
  >();

  proxy.on('proxyRes', (proxyRes, _req, res) => {
    const relay = relaying.get(res as ServerResponse);
    if (relay === undefined) return;
    const status = proxyRes.statusCode ?? 502;
    const headers = answers.headersFor(relay.write, {
      status,
      headers: proxyRes.headers,
      asked: relay.asked,
    });
    for (const name of Object.keys(proxyRes.headers)) delete proxyRes.headers[name];
    Object.assign(proxyRes.headers, headers);
    proxyRes.statusCode = statusFor(status);
  });

  /** A token to write with, got by asking the API's root. */
  async function authorizationFor(host: PushHost, { route, access, signal }: AdmittedWrite) {
    let used: string | undefined;
    try {
      const reply = await host.authorize(
        route.repository.name,
        (authorization) => {
          used = authorization;
          return ping(host.transport.send, host.root, signal, authorization);
        },
        { signal, access },
      );
      drain(reply);
    } catch (error) {
      if (isAbort(error)) throw error;
      throw fromNetworkError(error, host.root.host);
    }
    return used;
  }

  /** Streams the request to a location, and the answer back. */
  async function stream(
    host: PushHost,
    location: WebLocation,
    write: AdmittedWrite,
    { req, res }: { readonly req: IncomingMessage; readonly res: ServerResponse },
  ): Promise<void> {
    const { url, target } = location;
    const isOwn = url.origin === host.root.origin;
    const authorization = isOwn ? await authorizationFor(host, write) : undefined;
    const via = url.protocol === 'http:' ? host.proxyOf(url) : undefined;
    const headers = { ...filteredHeaders(req.headers, REQUEST_HEADERS) };
    for (const name of Object.keys(req.headers)) delete req.headers[name];
    Object.assign(req.headers, headers, {
      host: url.host,
      'user-agent': USER_AGENT,
      ...(authorization === undefined ? {} : { authorization }),
      ...(via === undefined ? {} : proxyAuthorization(via)),
    });
    relaying.set(res, { write, asked: location });
    // TLS is the dial's affair: to httpxy every upstream is a plain one behind the agent.
    const destination = {
      protocol: 'http:',
      hostname: hostOf(url),
      port: portOf(url),
      pathname: via === undefined ? target : formatLocation(location),
    };
    try {
      await proxy.web(req, res, { target: destination, agent: agentFor(host, url, via) });
    } catch (error) {
      // What is already on its way to the client can only be cut.
      if (res.headersSent) res.destroy();
      else throw fromNetworkError(error, url.host);
    }
  }

  async function send(
    host: PushHost,
    write: AdmittedWrite,
    outgoing: Omit<Outgoing, 'signal'>,
  ): Promise<Reply> {
    const { route, access, signal } = write;
    try {
      return await host.authorize(
        route.repository.name,
        (authorization) => {
          const login = authorization === undefined ? {} : { authorization };
          const headers = { 'user-agent': USER_AGENT, ...outgoing.headers, ...login };
          return host.transport.send({ ...outgoing, headers, headMs: UPLOAD_MS, signal });
        },
        { signal, access },
      );
    } catch (error) {
      if (isAbort(error)) throw error;
      throw fromNetworkError(error, host.root.host);
    }
  }

  /** Sends an answer that was read here on to the client. */
  async function relay(res: ServerResponse, write: AdmittedWrite, reply: Reply): Promise<void> {
    const { status, headers, url, target } = reply;
    const body = await readBody(reply, ERROR_MAX_BYTES, ERROR_MS);
    const all = answers.headersFor(write, { status, headers, asked: { url, target } });
    delete all['transfer-encoding'];
    delete all['content-length'];
    res.writeHead(statusFor(status), { ...all, 'content-length': String(body.length) }).end(body);
  }

  function at(host: PushHost, { repository }: WriteRoute, path: string, query = ''): WebLocation {
    const url = new URL(`${host.root.href}/${repository.name}/${path}`);
    return { url, target: withQuery(targetOf(url), query) };
  }

  async function begin(
    req: IncomingMessage,
    res: ServerResponse,
    write: AdmittedWrite,
    route: WriteRoute & { readonly kind: 'begin-upload' },
  ): Promise<void> {
    const host = hosts.hostFor(route.repository);
    const { digest, mount } = route;
    if (hasBody(req)) {
      const query = digest === undefined ? '' : `digest=${encodeURIComponent(digest)}`;
      return stream(host, at(host, route, 'blobs/uploads/', query), write, { req, res });
    }
    // Whoever may not pull the blob there is to send it.
    const from =
      mount?.from.host === route.repository.host && write.mayPull(mount.from) ? mount.from : undefined;
    const query =
      mount && from ? new URLSearchParams({ mount: mount.digest, from: from.name }).toString() : '';
    const headers = { 'content-length': '0' };
    const reply = await send(host, write, {
      method: 'POST',
      ...at(host, route, 'blobs/uploads/', query),
      headers,
    });
    await relay(res, write, reply);
  }

  async function goOn(
    req: IncomingMessage,
    res: ServerResponse,
    write: AdmittedWrite,
    { repository, session, digest }: WriteRoute & { readonly kind: 'upload' },
  ): Promise<void> {
    const location = answers.openSession(write, session);
    const host = hosts.hostFor(repository);
    const { url, target } = await reachableLocation(host, location);
    const query = digest === undefined ? '' : `digest=${encodeURIComponent(digest)}`;
    await stream(host, { url, target: withQuery(target, query) }, write, { req, res });
  }

  async function putManifest(
    req: IncomingMessage,
    res: ServerResponse,
    write: AdmittedWrite,
    route: WriteRoute & { readonly kind: 'manifest' },
  ): Promise<void> {
    const release = memory.tryTake(MANIFEST_MAX_BYTES);
    if (release === undefined) throw memoryExhausted();
    try {
      await passManifest(req, res, write, route);
    } finally {
      release();
    }
  }

  async function passManifest(
    req: IncomingMessage,
    res: ServerResponse,
    write: AdmittedWrite,
    route: WriteRoute & { readonly kind: 'manifest' },
  ): Promise<void> {
    const bytes = await readManifest(req);
    const host = hosts.hostFor(route.repository);
    const reply = await send(host, write, {
      method: 'PUT',
      ...at(host, route, `manifests/${formatManifestReference(route.reference)}`),
      headers: {
        'content-type': req.headers['content-type'] ?? 'application/octet-stream',
        'content-length': String(bytes.length),
      },
      body: bytes,
    });
    if (reply.status >= 200 && reply.status <= 299) onManifest(route.repository, route.reference);
    await relay(res, write, reply);
  }

  return {
    async forward(req, res, write) {
      const { route } = write;
      switch (route.kind) {
        case 'begin-upload':
          return begin(req, res, write, route);
        case 'upload':
          return goOn(req, res, write, route);
        case 'manifest':
          return putManifest(req, res, write, route);
      }
    },
    async close() {
      await hosts.close();
    },
  };
}
