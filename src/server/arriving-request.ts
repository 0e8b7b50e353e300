import type { IncomingMessage, ServerResponse } from 'node:http';
import { abortWhenGone } from '../lib/http.ts';
import type { Repository } from '../oci/reference.ts';
import type { RequestContext } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import { isLoop, LOOP_STATUS, readVia } from '../oci/via.ts';
import { isCrossSite } from './request-validation.ts';

/** A request as admission sees it. */
export class ArrivingRequest implements RequestContext {
  readonly headers: IncomingMessage['headers'];
  readonly repository: Repository | undefined;
  readonly action?: 'push';
  readonly #socket: IncomingMessage['socket'];
  readonly #res: ServerResponse;

  constructor(
    req: IncomingMessage,
    res: ServerResponse,
    repository: Repository | undefined,
    action?: 'push',
  ) {
    this.headers = req.headers;
    this.repository = repository;
    if (action !== undefined) this.action = action;
    this.#socket = req.socket;
    this.#res = res;
  }

  /** Asks the system, once a connection: only for whoever wants to know. */
  get remoteAddress(): string {
    return this.#socket.remoteAddress ?? '';
  }

  /** Made only for the few requests whose admission takes time. */
  get signal(): AbortSignal {
    return abortWhenGone(this.#res);
  }
}

export function refuseCrossSite(req: IncomingMessage): void {
  if (!isCrossSite(req)) return;
  throw new RegistryError('DENIED', 'a web page of another site may not ask this mirror');
}

export function unknownName({ headers }: IncomingMessage): RegistryError {
  return new RegistryError(
    'DENIED',
    `this mirror does not answer to the Host ${headers.host}: add it with --name`,
  );
}

/** The hops that the request came through. @throws {RegistryError} 400 for a malformed Via, 508 for a loop. */
export function checkedVia({ headers }: IncomingMessage, pseudonym: string): string | undefined {
  if (headers.via === undefined) return undefined;
  const via = readVia(headers.via);
  if (via === undefined) {
    throw new RegistryError('UNSUPPORTED', 'the Via header is malformed', { status: 400 });
  }
  if (isLoop(via, pseudonym)) {
    throw new RegistryError('UNAVAILABLE', 'this request has come through this mirror before', {
      status: LOOP_STATUS,
    });
  }
  return via;
}

/**
 * Says that the answer is scoped by `ns`, so that a client knows a proxy that heeds it from one that does not.
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#registry-proxying
 */
export function announceNamespace(
  res: ServerResponse,
  { namespace }: { readonly namespace?: string | undefined },
): void {
  if (namespace !== undefined) res.setHeader('OCI-Namespace', namespace);
}
