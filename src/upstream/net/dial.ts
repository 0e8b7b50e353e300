import type { LookupAddress } from 'node:dns';
import { request as httpRequest } from 'node:http';
import { connect as connectTcp, isIP, type LookupFunction, type OnReadOpts, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { isInSubnet, isLoopback, isPublicAddress } from '../../lib/address.ts';
import { authorityOf, hostOf, portOf } from '../../lib/url.ts';
import { basicAuthorization } from '../auth/credentials.ts';
import { type NameGuard, refused, refusePrivateLiteral } from './name-guard.ts';
import { AddressMemory, type Resolver } from './resolver.ts';
import { createSessionCache, handshakeFor, type TlsContexts } from './tls.ts';

/** A host to connect to. `host` has no brackets. */
export interface DialTarget {
  readonly host: string;
  readonly port: number;
  readonly secure: boolean;
  /** A proxy of the environment: it is dialled directly, and its address is not checked. */
  readonly isProxy?: boolean;
}

/**
 * Opens every socket to an upstream, a token service or the target of a redirect, so that none bypasses the
 * address check.
 */
export type Dial = (target: DialTarget, onread?: OnReadOpts) => Promise<Socket>;

/** Connecting took too long. */
export class ConnectTimeoutError extends Error {
  override readonly name = 'ConnectTimeoutError';
}

export interface DialOptions {
  /** Hosts that the operator named: their addresses are not checked. */
  readonly isTrusted: (host: string, port: number) => boolean;
  readonly trust: TlsContexts;
  readonly resolve: Resolver;
  /** Checks a host name that only the proxy will look up. */
  readonly refusePrivateName: NameGuard;
  /** The proxy for `target`; undefined: connect directly. */
  readonly proxyOf: (target: DialTarget) => URL | undefined;
  readonly timeoutMs: number;
}

/**
 * How long each of several addresses is tried, in milliseconds. Node's default of 250 ms is too short for slow
 * links.
 */
const ATTEMPT_MS = 1500;

/**
 * A lookup function for sockets. For untrusted hosts it returns public addresses only, so that the checked
 * address is the one that is connected to.
 */
function lookupBy(
  resolve: Resolver,
  trusted: boolean,
  order: (found: readonly LookupAddress[]) => readonly LookupAddress[],
): LookupFunction {
  return (hostname, options, callback) => {
    const answer = (addresses: readonly LookupAddress[]) => {
      const fit = order(trusted ? addresses : addresses.filter(({ address }) => isPublicAddress(address)));
      const [first] = fit;
      if (first === undefined) return callback(refused(hostname), []);
      return options.all ? callback(null, [...fit]) : callback(null, first.address, first.family);
    };
    resolve(hostname).then(answer, (error: NodeJS.ErrnoException) => callback(error, []));
  };
}

/** Resolves when the socket emits `event`. Destroys the socket after `timeoutMs`. */
function ready(socket: Socket, event: 'connect' | 'secureConnect', timeoutMs: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => socket.destroy(new ConnectTimeoutError(`no connection within ${timeoutMs} ms`)),
      timeoutMs,
    );
    const settle = (error?: Error) => {
      clearTimeout(timer);
      socket.off('error', settle).off('close', closed).off(event, done);
      if (error) reject(error);
      else resolve(socket);
    };
    const done = () => settle();
    const closed = () => settle(new Error('the connection was closed before it was made'));
    socket.once('error', settle).once('close', closed).once(event, done);
  });
}

/** Proxies for outgoing connections, by the usual environment variables. */
export interface ProxySettings {
  readonly http?: string | undefined;
  readonly https?: string | undefined;
  /**
   * Comma-separated: hosts, domains with or without a leading dot, `HOST:PORT`, address ranges (`10.0.0.0/8`),
   * or `*`.
   */
  readonly noProxy?: string | undefined;
}

/** Reads `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`. As in curl, the lower-case spelling takes precedence. */
export function proxyFromEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
): ProxySettings {
  const read = (name: string) => environment[name.toLowerCase()] || environment[name] || undefined;
  return { http: read('HTTP_PROXY'), https: read('HTTPS_PROXY'), noProxy: read('NO_PROXY') };
}

function matchesNoProxy(noProxy: string, host: string, port: string): boolean {
  return noProxy
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((rule) => rule !== '')
    .some((rule) => {
      if (rule === '*' || (rule.includes('/') && isInSubnet(rule, host))) return true;
      const [, domain = rule, rulePort] = /^(.+?)(?::(\d+))?$/.exec(rule.replace(/^\*?\./, '')) ?? [];
      if (rulePort !== undefined && rulePort !== port && isIP(rule) === 0) return false;
      const wanted = isIP(rule) === 0 ? domain.replace(/^\[|\]$/g, '') : rule;
      return host === wanted || (isIP(host) === 0 && host.endsWith(`.${wanted}`));
    });
}

/**
 * The proxy for `target`; undefined: connect directly.
 * @throws {TypeError} when the configured proxy is not an http(s) URL.
 */
export function proxyFor(target: URL, settings: ProxySettings): URL | undefined {
  const proxy = target.protocol === 'https:' ? settings.https : settings.http;
  if (proxy === undefined) return undefined;
  const host = hostOf(target);
  const port = String(portOf(target));
  // Loopback is never reached through a proxy, whatever is configured.
  if (isLoopback(host) || matchesNoProxy(settings.noProxy ?? '', host, port)) return undefined;
  const text = proxy.includes('://') ? proxy : `http://${proxy}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new TypeError('the proxy of the environment is not of the form http://HOST:PORT');
  }
  return url;
}

/** Decodes the user name or password of a URL. A `%` without two hexadecimal digits stays as it is. */
function decodeLogin(text: string): string {
  return text.replaceAll(/(?:%[0-9a-f]{2})+/gi, (coded) =>
    Buffer.from(coded.replaceAll('%', ''), 'hex').toString('utf8'),
  );
}

/** The header with the login in a proxy's URL; empty when the URL has none. */
export function proxyAuthorization({ username, password }: URL): Readonly<Record<string, string>> {
  if (username === '') return {};
  const login = basicAuthorization(decodeLogin(username), decodeLogin(password));
  return { 'proxy-authorization': login };
}

/** Opens a tunnel to `target` with CONNECT, over a connection to an HTTP proxy. */
function tunnel(toProxy: Socket, proxy: URL, target: DialTarget, timeoutMs: number): Promise<Socket> {
  const authority = authorityOf(target.host, target.port);
  return new Promise((resolve, reject) => {
    const request = httpRequest({
      method: 'CONNECT',
      path: authority,
      headers: { host: authority, ...proxyAuthorization(proxy) },
      createConnection: () => toProxy,
      signal: AbortSignal.timeout(timeoutMs),
    });
    const fail = (error: Error) => {
      toProxy.destroy();
      reject(error);
    };
    request.once('error', fail);
    request.once('response', ({ statusCode }) =>
      fail(new Error(`the proxy ${proxy.host} answered ${statusCode}`)),
    );
    request.once('connect', ({ statusCode = 0 }, socket, head: Buffer) => {
      // Any 2xx opens the tunnel: https://www.rfc-editor.org/rfc/rfc9110#section-9.3.6
      if (statusCode < 200 || statusCode > 299) {
        return fail(new Error(`the proxy ${proxy.host} answered ${statusCode} to CONNECT ${authority}`));
      }
      if (head.length > 0) socket.unshift(head);
      resolve(socket as Socket);
    });
    request.end();
  });
}

/**
 * Creates the dial function. It rejects with {@link AddressRefusedError}, {@link ConnectTimeoutError}, or a
 * socket error.
 */
export function createDial(options: DialOptions): Dial {
  const { isTrusted, trust, resolve, refusePrivateName, proxyOf, timeoutMs } = options;
  const sessionFor = createSessionCache();
  const memory = new AddressMemory();

  /** Waits for `event`, and remembers how the address that the socket reached has answered. */
  function reached(place: string, socket: Socket, event: 'connect' | 'secureConnect'): Promise<Socket> {
    const connected = ready(socket, event, timeoutMs);
    memory.follow(place, socket, connected);
    return connected;
  }

  /** Starts TLS on a connection. */
  function startTls(
    { host, port }: DialTarget,
    tls: Awaited<ReturnType<TlsContexts>>,
    base: ConnectionOptions,
  ): Socket {
    const { session, keep } = sessionFor(host, port, tls.secureContext);
    const socket = connectTls({ ...base, ...tls, ...handshakeFor(host), ...(session ? { session } : {}) });
    return socket.on('session', keep);
  }

  async function direct(target: DialTarget, trusted: boolean, onread?: OnReadOpts): Promise<Socket> {
    const { host, port } = target;
    const place = authorityOf(host, port);
    const base = {
      host,
      port,
      noDelay: true,
      keepAlive: true,
      lookup: lookupBy(resolve, trusted, (addresses) => memory.ordered(place, addresses)),
      autoSelectFamilyAttemptTimeout: ATTEMPT_MS,
      ...(onread === undefined ? {} : { onread }),
    };
    if (!target.secure) return reached(place, connectTcp(base), 'connect');
    const tls = await trust(host, port);
    return reached(place, startTls(target, tls, base), 'secureConnect');
  }

  async function throughProxy(proxy: URL, target: DialTarget): Promise<Socket> {
    const proxyTarget = { host: hostOf(proxy), port: portOf(proxy), secure: proxy.protocol === 'https:' };
    const tls = await trust(target.host, target.port);
    const toProxy = await direct(proxyTarget, true);
    const socket = await tunnel(toProxy, proxy, target, timeoutMs);
    return ready(startTls(target, tls, { socket }), 'secureConnect', timeoutMs);
  }

  return async (target, onread) => {
    const { host, port, secure: isSecure, isProxy = false } = target;
    const trusted = isProxy || isTrusted(host, port);
    const proxy = isSecure && !isProxy ? proxyOf(target) : undefined;
    if (!trusted) refusePrivateLiteral(host);
    if (proxy === undefined) return direct(target, trusted, onread);
    if (!trusted) await refusePrivateName(host);
    return throughProxy(proxy, target);
  };
}
