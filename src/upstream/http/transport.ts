import type { Readable } from 'node:stream';
import type { Agent, Dispatcher } from 'undici';
import { hostOf, portOf } from '../../lib/url.ts';
import { type Dial, refusePrivateLiteral } from '../net/dial.ts';
import { proxyAuthorization } from '../net/proxy.ts';
import type { Timeouts } from '../settings.ts';
import { type Body, type BodyStream, BrokenBodyError, createBodyStream } from './body.ts';

export interface Outgoing {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** A stream is sent as it comes, and only once. */
  readonly body?: string | Buffer | Readable | undefined;
  /** Instead of the usual bound on waiting for the head: an upload is answered when all of it has arrived. */
  readonly headMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A response's head, and its body still to be read or cancelled. Header names in lower case. */
export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly url: URL;
  readonly body: Body;
}

/** Sends one request over one connection; follows nothing, retries nothing, knows no logins. */
export interface Transport {
  send(outgoing: Outgoing): Promise<Reply>;
  close(): Promise<void>;
}

/** The response's head did not come in time. */
export class HeadTimeoutError extends Error {
  override readonly name = 'HeadTimeoutError';
}

export interface TransportOptions {
  readonly dial: Dial;
  /** The proxy for plain `http` requests, which are sent to it in absolute form. */
  readonly proxyOf: (url: URL) => URL | undefined;
  /** Hosts that an operator named: their addresses are not judged. */
  readonly isTrusted: (host: string, port: number) => boolean;
  readonly timeouts: Timeouts;
}

/** What this program calls itself to registries and token services. */
export const USER_AGENT = 'metahub';

const KEEP_ALIVE_MS = 30_000;
const HEAD_MAX_BYTES = 16 * 1024;

/** Header lines that may come several times; of any other, the first counts. */
const LISTS = new Set(['www-authenticate', 'link', 'warning', 'via']);

type RawHeaders = Readonly<Record<string, string | readonly string[] | undefined>>;

/** One value for each name: lists joined, of anything else the first. */
export function flatten(raw: RawHeaders): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(raw)) {
    const joined = typeof value === 'object' ? (LISTS.has(name) ? value.join(', ') : value[0]) : value;
    if (joined !== undefined) headers[name] = joined;
  }
  return headers;
}

/** Where a request is really sent: to the host itself, or in absolute form to an HTTP proxy. */
function routeOf({ url }: Outgoing, proxy: URL | undefined): { origin: string; path: string; extra: object } {
  const path = `${url.pathname}${url.search}`;
  if (proxy === undefined) return { origin: url.origin, path, extra: {} };
  const extra = { host: url.host, ...proxyAuthorization(proxy) };
  return { origin: proxy.origin, path: `${url.origin}${path}`, extra };
}

function exchange(agent: Dispatcher, outgoing: Outgoing, proxy: URL | undefined, timeouts: Timeouts) {
  const { url, method, body, signal } = outgoing;
  const { idleMs } = timeouts;
  const headMs = outgoing.headMs ?? timeouts.headMs;
  const { origin, path, extra } = routeOf(outgoing, proxy);
  return new Promise<Reply>((resolve, reject) => {
    let controller: Dispatcher.DispatchController | undefined;
    let flow: BodyStream | undefined;
    let failure: Error | undefined;

    const giveUp = (reason: Error) => {
      failure ??= reason;
      controller?.abort(reason);
      flow?.fail(reason);
      settled();
      reject(reason);
    };
    const timer = setTimeout(() => giveUp(new HeadTimeoutError(`no response within ${headMs} ms`)), headMs);
    const onAbort = () => giveUp(signal?.reason instanceof Error ? signal.reason : new Error('aborted'));
    const settled = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    };
    if (signal?.aborted) return onAbort();
    signal?.addEventListener('abort', onAbort, { once: true });

    agent.dispatch(
      { origin, path, method, body: body ?? null, headers: { ...outgoing.headers, ...extra } },
      {
        onRequestStart: (started) => {
          controller = started;
          if (failure) started.abort(failure);
        },
        onResponseStart: (started, status, raw) => {
          if (status < 200) return;
          clearTimeout(timer);
          started.pause();
          flow = createBodyStream(
            {
              pause: () => started.pause(),
              resume: () => started.resume(),
              abort: (reason) => started.abort(reason),
            },
            idleMs,
          );
          resolve({ status, headers: flatten(raw), url, body: flow });
        },
        onResponseData: (_, chunk) => flow?.push(chunk),
        onResponseEnd: () => {
          settled();
          flow?.end();
        },
        onResponseError: (_, error) => {
          settled();
          if (flow === undefined) reject(error);
          else flow.fail(failure ?? new BrokenBodyError(error.message, { cause: error }));
        },
      },
    );
  });
}

/** An agent whose sockets come from `dial`, opened when it is first needed; `isProxy` when what it reaches is a proxy. */
function createLazyAgent(dial: Dial, isProxy: boolean) {
  let opening: Promise<Agent> | undefined;
  const open = async () => {
    const { Agent } = await import('undici');
    return new Agent({
      connect: ({ hostname, port, protocol }, callback) => {
        const secure = protocol === 'https:';
        const origin = new URL(`${protocol}//${hostname.includes(':') ? `[${hostname}]` : hostname}`);
        const target = { host: hostOf(origin), port: Number(port) || portOf(origin), secure, isProxy };
        dial(target).then(
          (socket) => callback(null, socket),
          (error: Error) => callback(error, null),
        );
      },
      keepAliveTimeout: KEEP_ALIVE_MS,
      maxHeaderSize: HEAD_MAX_BYTES,
      // Waiting is bounded here, where it is known whether the reader or the source is slow.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  };
  return {
    get: () => {
      opening ??= open();
      return opening;
    },
    close: async () => {
      const agent = await opening;
      await agent?.destroy();
    },
  };
}

/** Every request that needs no special speed: undici over {@link Dial}, loaded when the first one is made. */
export function createTransport({ dial, proxyOf, isTrusted, timeouts }: TransportOptions): Transport {
  const direct = createLazyAgent(dial, false);
  const proxied = createLazyAgent(dial, true);

  /** A plain request behind a proxy is dialled by the proxy: what can be judged of its target is judged here. */
  function proxyForPlain(url: URL): URL | undefined {
    const proxy = url.protocol === 'http:' ? proxyOf(url) : undefined;
    if (proxy && !isTrusted(hostOf(url), portOf(url))) refusePrivateLiteral(hostOf(url));
    return proxy;
  }

  return {
    send: async (outgoing) => {
      const proxy = proxyForPlain(outgoing.url);
      const agent = await (proxy ? proxied : direct).get();
      return exchange(agent, outgoing, proxy, timeouts);
    },
    close: async () => {
      await Promise.all([direct.close(), proxied.close()]);
    },
  };
}
