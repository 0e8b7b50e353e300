import type { LookupAddress } from 'node:dns';
import { request as httpRequest } from 'node:http';
import { connect as connectTcp, isIP, type LookupFunction, type OnReadOpts, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { isPublicAddress } from '../../lib/ip-address.ts';
import { hostOf, portOf } from '../../lib/url.ts';
import { proxyAuthorization } from './proxy.ts';
import type { Resolver } from './resolver.ts';
import type { TlsContexts } from './tls.ts';

/** A host to connect to; `host` without brackets. */
export interface DialTarget {
  readonly host: string;
  readonly port: number;
  readonly secure: boolean;
  /** A proxy of the environment: reached directly, its address not judged. */
  readonly isProxy?: boolean;
}

/**
 * THE way out: every socket to an upstream, a token service or a redirect's target is opened here, so that no way leads
 * past the address check.
 */
export type Dial = (target: DialTarget, onread?: OnReadOpts) => Promise<Socket>;

/** A name or literal that leads where no public registry lives. */
export class AddressRefusedError extends Error {
  override readonly name = 'AddressRefusedError';
}

/** Connecting took longer than it may. */
export class ConnectTimeoutError extends Error {
  override readonly name = 'ConnectTimeoutError';
}

export interface DialOptions {
  /** Hosts that an operator named: their addresses are not judged. */
  readonly isTrusted: (host: string, port: number) => boolean;
  readonly trust: TlsContexts;
  readonly resolve: Resolver;
  /** The proxy for `target`, if it is to be reached by one. */
  readonly proxyOf: (target: DialTarget) => URL | undefined;
  readonly timeoutMs: number;
}

/** For how long one address of several is tried before the next: Node's 250 ms are less than some links take. */
const ATTEMPT_MS = 1500;

function refused(host: string): AddressRefusedError {
  return new AddressRefusedError(
    `${host} has no public address; if that is meant, name it as an endpoint or a trusted host of this upstream`,
  );
}

/**
 * A literal is never looked up, so it is judged as it is written; also before a proxy, who would look up names, is asked.
 * @throws {AddressRefusedError}
 */
export function refusePrivateLiteral(host: string): void {
  if (isIP(host) !== 0 && !isPublicAddress(host)) throw refused(host);
}

/** Names by way of `resolve`, unless trusted to public addresses only: what is checked is the very thing that is connected to. */
function lookupBy(resolve: Resolver, trusted: boolean): LookupFunction {
  return (hostname, options, callback) => {
    const answer = (addresses: readonly LookupAddress[]) => {
      const fit = trusted ? addresses : addresses.filter(({ address }) => isPublicAddress(address));
      const [first] = fit;
      if (first === undefined) return callback(refused(hostname), []);
      return options.all ? callback(null, [...fit]) : callback(null, first.address, first.family);
    };
    resolve(hostname).then(answer, (error: NodeJS.ErrnoException) => callback(error, []));
  };
}

/** Resolves when `socket` says `event`; destroys it when it fails to within `timeoutMs`. */
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

/** Asks an HTTP proxy for a tunnel to `target` over a connection to it. */
function tunnel(toProxy: Socket, proxy: URL, target: DialTarget, timeoutMs: number): Promise<Socket> {
  const authority = `${isIP(target.host) === 6 ? `[${target.host}]` : target.host}:${target.port}`;
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
    request.once('connect', ({ statusCode }, socket) => {
      if (statusCode === 200) resolve(socket as Socket);
      else fail(new Error(`the proxy ${proxy.host} answered ${statusCode} to CONNECT ${authority}`));
    });
    request.end();
  });
}

/** Rejects with an {@link AddressRefusedError}, a {@link ConnectTimeoutError}, or as Node's sockets do. */
export function createDial({ isTrusted, trust, resolve, proxyOf, timeoutMs }: DialOptions): Dial {
  async function direct(target: DialTarget, trusted: boolean, onread?: OnReadOpts): Promise<Socket> {
    const { host, port, secure } = target;
    const base = {
      host,
      port,
      noDelay: true,
      keepAlive: true,
      lookup: lookupBy(resolve, trusted),
      autoSelectFamilyAttemptTimeout: ATTEMPT_MS,
      ...(onread === undefined ? {} : { onread }),
    };
    if (!secure) return ready(connectTcp(base), 'connect', timeoutMs);
    const tls = await trust(host, port);
    return ready(connectTls({ ...base, ...tls, ...handshakeFor(host) }), 'secureConnect', timeoutMs);
  }

  async function throughProxy(proxy: URL, target: DialTarget): Promise<Socket> {
    const proxyTarget = { host: hostOf(proxy), port: portOf(proxy), secure: proxy.protocol === 'https:' };
    const toProxy = await direct(proxyTarget, true);
    const socket = await tunnel(toProxy, proxy, target, timeoutMs);
    const tls = await trust(target.host, target.port);
    return ready(connectTls({ socket, ...tls, ...handshakeFor(target.host) }), 'secureConnect', timeoutMs);
  }

  return async (target, onread) => {
    const { host, port, secure, isProxy = false } = target;
    const trusted = isProxy || isTrusted(host, port);
    if (!trusted) refusePrivateLiteral(host);
    const proxy = secure && !isProxy ? proxyOf(target) : undefined;
    return proxy === undefined ? direct(target, trusted, onread) : throughProxy(proxy, target);
  };
}

/**
 * HTTP/1.1 is what both readers speak; Server Name Indication is for names only. The certificate is compared with `host`,
 * which Node would take from the socket, the proxy's name, if it were not said.
 */
function handshakeFor(host: string): { host: string; servername?: string; ALPNProtocols: string[] } {
  return { host, ALPNProtocols: ['http/1.1'], ...(isIP(host) === 0 ? { servername: host } : {}) };
}
