import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Share } from '../lib/fair-budget.ts';
import { abortWhenGone } from '../lib/http.ts';
import type { Repository } from '../oci/reference.ts';
import type { Admission, Admitted, RequestContext } from '../oci/registry.ts';
import type { LoggedRequest } from './access-log.ts';
import type { BlobRoute, ManifestRoute } from './routes.ts';

/** A request, for the admission controller. */
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

  /** A getter, because it costs a system call per connection. */
  get remoteAddress(): string {
    return this.#socket.remoteAddress ?? '';
  }

  /** A getter, because only few requests need it: those whose admission takes time. */
  get signal(): AbortSignal {
    return abortWhenGone(this.#res);
  }
}

/** The share of memory and of concurrent requests: the client is a login or an address, the source is a registry. */
export function shareOf(
  { socket }: IncomingMessage,
  { login }: Admitted,
  repository: Repository | undefined,
): Share {
  return { client: login ?? socket.remoteAddress ?? '', source: repository?.host ?? '' };
}

export type Admitting = Admission | Promise<Admission>;

/** A request whose target was parsed, and whose admission was begun, on the way to a stored answer that was not there. */
export interface HeadStart {
  readonly route: ManifestRoute | BlobRoute;
  readonly admitting: Admitting;
  /** Of a request that is in the log already. */
  readonly logged?: LoggedRequest;
}
