import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { RegistryError } from '../oci/registry-error.ts';
import { isSoundVia } from '../oci/via.ts';
import type { Limits } from './limits.ts';

/** The target without its query. */
export function pathOf(target: string): string {
  const mark = target.indexOf('?');
  return mark < 0 ? target : target.slice(0, mark);
}

function isRead(req: IncomingMessage): boolean {
  return req.method === 'GET' || req.method === 'HEAD';
}

function announcesBody({ headers }: IncomingMessage): boolean {
  const length = headers['content-length'];
  return headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0');
}

/** Is there nothing about this request that has to be looked into? */
export function isPlain(req: IncomingMessage): boolean {
  const { headers } = req;
  return (
    isRead(req) &&
    headers.host !== undefined &&
    headers.via === undefined &&
    headers.expect === undefined &&
    headers['content-length'] === undefined &&
    headers['transfer-encoding'] === undefined
  );
}

function bad(message: string, status = 400): RegistryError {
  return new RegistryError('UNSUPPORTED', message, { status });
}

/**
 * Refuses what no client of a mirror sends. A request with a body is never read further (see mustClose), so that
 * nothing in it can be taken for another request.
 * @throws {RegistryError} UNSUPPORTED: 405 for anything but GET and HEAD, 414 for a long target, 417, else 400.
 */
export function checkRequest(req: IncomingMessage, limits: Limits): void {
  const { headers } = req;
  if (!isRead(req)) {
    throw new RegistryError('UNSUPPORTED', 'a mirror is only read from: GET and HEAD', {
      headers: { allow: 'GET, HEAD' },
    });
  }
  if (announcesBody(req)) throw bad('a request with a body is not taken');
  if (headers.expect !== undefined) throw bad('no expectation can be met', 417);
  if (headers.host === undefined && req.httpVersion !== '1.0') throw bad('there is no Host header');
  if (!isSoundVia(headers.via)) throw bad('the Via header is not what mirrors write');
  if ((req.url ?? '').length > limits.targetBytes) throw bad('the request target is too long', 414);
}

/** Is what follows on this connection no request that could be trusted, because a body was announced or a limit passed? */
export function mustClose(req: IncomingMessage, status: number): boolean {
  return announcesBody(req) || status === 405 || status === 414 || status === 417;
}

/** The name in a Host header: without port and brackets, lower case; undefined when there is none. */
function nameOf(host: string | undefined): string | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^\s:[\]/@]+))(?::\d{1,5})?$/.exec(host?.toLowerCase() ?? '');
  return match?.[1] ?? match?.[2];
}

/**
 * Is this Host header one of ours? A web page whose own name was made to point here (DNS rebinding) could otherwise read
 * what is shown to its browser; addresses, localhost and the names that this server is known by cannot be pointed elsewhere.
 */
export function isOwnHost(host: string | undefined, names: readonly string[]): boolean {
  const name = nameOf(host);
  if (name === undefined) return false;
  return isIP(name) !== 0 || name === 'localhost' || names.some((own) => own.toLowerCase() === name);
}

/** {@link isOwnHost} that remembers the last Host it let pass: a runtime always sends the same. */
export function createHostCheck(names: readonly string[]): (host: string | undefined) => boolean {
  let last: string | undefined;
  return (host) => {
    if (host !== undefined && host === last) return true;
    const isOwn = isOwnHost(host, names);
    if (isOwn) last = host;
    return isOwn;
  };
}
