import type { IncomingMessage } from 'node:http';
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
