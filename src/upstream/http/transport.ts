import { Agent, type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { pipeline, type Readable } from 'node:stream';
import { formatLocation, hostOf, portOf, targetOf } from '../../lib/url.ts';
import { type Dial, type DialTarget, proxyAuthorization } from '../net/dial.ts';
import type { NameGuard } from '../net/name-guard.ts';
import type { Timeouts } from '../settings.ts';
import { type Body, type BodyStream, BrokenBodyError, createBodyStream } from './body.ts';

export interface Outgoing {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly url: URL;
  /** Path and query as another party wrote them, sent unchanged. Default: those of `url`. */
  readonly target?: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  /** A stream is sent as it arrives, and cannot be sent again. */
  readonly body?: string | Buffer | Readable | undefined;
  /** Replaces the usual limit of the wait for the head: the answer to an upload comes after the whole body. */
  readonly headMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A response head, and a body that must be read or cancelled. Header names are in lower case. */
export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** The requested URL, and its path and query as sent. */
  readonly url: URL;
  readonly target: string;
  readonly body: Body;
}

/**
 * Sends one request. It follows no redirects, sends no login by itself, and retries nothing that the server
 * answered.
 */
export interface Transport {
  send(outgoing: Outgoing): Promise<Reply>;
  close(): Promise<void>;
}

/** The response head did not arrive in time. */
export class HeadTimeoutError extends Error {
  override readonly name = 'HeadTimeoutError';
}

/** A reused connection turned out to be closed. That says nothing about the server. */
class DeadConnectionError extends Error {}

export interface TransportOptions {
  readonly dial: Dial;
  /** The proxy for plain `http` requests; it gets them in absolute form. */
  readonly proxyOf: (url: URL) => URL | undefined;
  /** Hosts that the operator named: their addresses are not checked. */
  readonly isTrusted: (host: string, port: number) => boolean;
  /** Checks a host name that only the proxy will look up. */
  readonly refusePrivateName: NameGuard;
  readonly timeouts: Timeouts;
}

/** The `User-Agent` for registries and token services. */
export const USER_AGENT = 'metahub';

const KEEP_ALIVE_MS = 30_000;
const KEPT_MAX = 8;
const HEAD_MAX_BYTES = 16 * 1024;
/**
 * How long a reused connection may stay silent, in milliseconds, before a new one is tried: the packet that
 * closed it may have been lost.
 */
export const KEPT_SILENT_MS = 3000;

/** Headers whose repeated values are joined. Of any other header, the first value counts. */
const LISTS = new Set(['www-authenticate', 'link', 'warning', 'via']);

/** One value for each header name, by {@link LISTS}. */
export function flatten(
  raw: Readonly<Record<string, readonly string[] | undefined>>,
): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, values = []] of Object.entries(raw)) {
    const value = LISTS.has(name) ? values.join(', ') : values[0];
    if (value !== undefined) headers[name] = value;
  }
  return headers;
}

/**
 * The values of each header, by its name in lower case. `headersDistinct` throws for the name `__proto__` before Node.js
 * 20.20.2, 22.22.2 and 24.14.1 (CVE-2026-21710).
 * @param raw names and values in turn
 */
function distinctHeaders(raw: readonly string[]): Readonly<Record<string, readonly string[]>> {
  const headers: Record<string, string[]> = Object.create(null);
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = (raw[at] ?? '').toLowerCase();
    headers[name] ??= [];
    headers[name].push(raw[at + 1] ?? '');
  }
  return headers;
}

/** How a request is sent: to the host itself, or in absolute form to an HTTP proxy. */
interface Route {
  readonly to: DialTarget;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

function dialTargetOf(url: URL, isProxy: boolean): DialTarget {
  return { host: hostOf(url), port: portOf(url), secure: url.protocol === 'https:', isProxy };
}

function routeOf({ url, headers, target = targetOf(url) }: Outgoing, proxy: URL | undefined): Route {
  const all = { host: url.host, ...headers };
  if (proxy === undefined) return { to: dialTargetOf(url, false), path: target, headers: all };
  return {
    to: dialTargetOf(proxy, true),
    path: formatLocation({ url, target }),
    headers: { ...all, ...proxyAuthorization(proxy) },
  };
}

const nameOf = ({ host, port, secure, isProxy }: DialTarget) => `${host} ${port} ${secure} ${isProxy}`;

type Connected = (error: Error | null, socket?: Socket) => void;

/** An agent whose sockets come from `dial`, and whose idle sockets can be dropped. */
function createDialAgent(dial: Dial) {
  const agent = new Agent({
    keepAlive: true,
    maxFreeSockets: KEPT_MAX,
    scheduling: 'lifo',
    timeout: KEEP_ALIVE_MS,
  });
  Object.assign(agent, {
    getName: ({ to }: { to: DialTarget }) => nameOf(to),
    createConnection: ({ to }: { to: DialTarget }, connected: Connected) => {
      dial(to).then((socket) => connected(null, socket), connected);
    },
  });
  return {
    agent,
    dropKept: (to: DialTarget) => {
      for (const socket of agent.freeSockets[nameOf(to)] ?? []) socket.destroy();
    },
  };
}

/** The body of a response of Node's HTTP client. */
function streamOf(message: IncomingMessage, request: ClientRequest, idleMs: number): BodyStream {
  const flow = createBodyStream(
    {
      pause: () => void message.pause(),
      resume: () => void message.resume(),
      // After a complete message the connection may already serve another request, so it is not destroyed.
      abort: () => void (message.complete ? message.resume() : request.destroy()),
    },
    idleMs,
  );
  const broken = (cause: Error) => {
    // After a complete message, an error is the connection's.
    if (!message.complete) flow.fail(new BrokenBodyError(cause.message, { cause }));
  };
  message.pause();
  message.on('data', (chunk: Buffer) => flow.push(chunk));
  message.once('end', () => flow.end());
  message.on('error', broken).once('close', () => broken(new Error('the connection was closed')));
  request.on('error', broken);
  return flow;
}

function exchange(agent: Agent, outgoing: Outgoing, route: Route, timeouts: Timeouts, headMs: number) {
  const { url, target = targetOf(url), method, body, signal } = outgoing;
  const { path, headers, to } = route;
  return new Promise<Reply>((resolve, reject) => {
    // First, because it throws for a header that cannot be sent: nothing else has been started yet.
    const request = httpRequest({
      ...{ agent, method, path, headers, to },
      setHost: false,
      maxHeaderSize: HEAD_MAX_BYTES,
    });
    let flow: BodyStream | undefined;
    const giveUp = (reason: Error) => {
      settle();
      reject(reason);
      if (flow) flow.cancel(reason);
      else request.destroy(reason);
    };
    const onAbort = () => giveUp(signal?.reason instanceof Error ? signal.reason : new Error('aborted'));
    const settle = () => {
      clearTimeout(timer);
      clearTimeout(silence);
      signal?.removeEventListener('abort', onAbort);
    };
    let silence: NodeJS.Timeout | undefined;
    const timer = setTimeout(() => giveUp(new HeadTimeoutError(`no response within ${headMs} ms`)), headMs);
    request.on('error', (error: NodeJS.ErrnoException) => {
      if (flow !== undefined) return;
      const isDead = request.reusedSocket && error.code === 'ECONNRESET';
      giveUp(isDead ? new DeadConnectionError(error.message, { cause: error }) : error);
    });
    request.once('socket', () => {
      if (!request.reusedSocket || (method !== 'GET' && method !== 'HEAD')) return;
      const onSilence = () => giveUp(new DeadConnectionError('a kept connection does not answer'));
      silence = setTimeout(onSilence, KEPT_SILENT_MS);
    });
    request.once('upgrade', (_message, socket: Socket) => {
      // The socket no longer belongs to the request, so nothing listens to its errors.
      settle();
      socket.destroy();
      reject(new Error('the server changed the protocol'));
    });
    request.once('response', (message) => {
      clearTimeout(timer);
      clearTimeout(silence);
      flow = streamOf(message, request, timeouts.idleMs);
      message.once('close', settle);
      resolve({
        status: message.statusCode ?? 0,
        headers: flatten(distinctHeaders(message.rawHeaders)),
        url,
        target,
        body: flow,
      });
    });
    if (signal?.aborted) return onAbort();
    signal?.addEventListener('abort', onAbort, { once: true });
    if (typeof body === 'object' && 'pipe' in body)
      pipeline(body, request, (error) => error && giveUp(error));
    else request.end(body);
  });
}

/** The transport for everything but fast blob downloads: Node's HTTP client over {@link Dial}. */
export function createTransport(options: TransportOptions): Transport {
  const { dial, proxyOf, isTrusted, refusePrivateName, timeouts } = options;
  const { agent, dropKept } = createDialAgent(dial);

  /** The proxy for a plain request. The proxy dials the host, so its name is checked here. */
  async function proxyForPlain(url: URL): Promise<URL | undefined> {
    const proxy = url.protocol === 'http:' ? proxyOf(url) : undefined;
    if (proxy && !isTrusted(hostOf(url), portOf(url))) await refusePrivateName(hostOf(url));
    return proxy;
  }

  return {
    send: async (outgoing) => {
      const startedAt = performance.now();
      const route = routeOf(outgoing, await proxyForPlain(outgoing.url));
      const headMs = outgoing.headMs ?? timeouts.headMs;
      try {
        return await exchange(agent, outgoing, route, timeouts, headMs);
      } catch (error) {
        const isRepeatable = typeof outgoing.body !== 'object' || Buffer.isBuffer(outgoing.body);
        if (!(error instanceof DeadConnectionError) || !isRepeatable) throw error;
        // The other idle connections are as old, and probably closed too.
        dropKept(route.to);
        const leftMs = Math.max(headMs - (performance.now() - startedAt), 0);
        return exchange(agent, outgoing, route, timeouts, leftMs);
      }
    },
    close: async () => agent.destroy(),
  };
}
