import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Share } from '../lib/fair-budget.ts';
import { abortWhenGone } from '../lib/http.ts';
import type { Repository, SourceHost } from '../oci/reference.ts';
import type { Admission, AdmissionController, Admitted, RequestContext } from '../oci/registry.ts';
import { HostNotAllowedError } from '../oci/registry-error.ts';
import type { LoggedRequest } from './access-log.ts';
import type { BlobRoute, ManifestRoute } from './routes.ts';

/** A request as the admission controller sees it. */
export class ArrivingRequest implements RequestContext {
  readonly headers: IncomingMessage['headers'];
  readonly repository: Repository | undefined;
  readonly action?: 'push';
  readonly connection: IncomingMessage['socket'];
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
    this.connection = req.socket;
    this.#res = res;
  }

  /** A getter, because the first read on a connection is a system call. */
  get remoteAddress(): string {
    return this.connection.remoteAddress ?? '';
  }

  /** A getter, because it is needed only by those requests whose admission takes time. */
  get signal(): AbortSignal {
    return abortWhenGone(this.#res);
  }
}

/**
 * Whose share of memory and concurrency a request takes: the client is a login or an address, the source a
 * registry.
 */
export function shareOf(
  { socket }: IncomingMessage,
  { login }: Admitted,
  repository: Repository | undefined,
): Share {
  return { client: login ?? socket.remoteAddress ?? '', source: repository?.host ?? '' };
}

interface HostGateOptions {
  readonly gate: AdmissionController;
  readonly defaultHost: SourceHost;
  readonly isAllowedHost: (host: SourceHost) => boolean;
}

/**
 * Refuses the source hosts that are not allowed to those whom `gate` admits. Everybody else gets the answer of
 * `gate`, so that a client without a login does not learn which registries are configured.
 */
export function gateOfHosts({ gate, defaultHost, isAllowedHost }: HostGateOptions): AdmissionController {
  async function refuse(context: RequestContext, host: SourceHost): Promise<Admission> {
    const admission = await gate.admit(context);
    return admission.kind === 'refused'
      ? admission
      : { kind: 'refused', error: new HostNotAllowedError(host) };
  }
  return {
    admit: (context) => {
      const host = context.repository?.host;
      const isAllowed = host === undefined || host === defaultHost || isAllowedHost(host);
      return isAllowed ? gate.admit(context) : refuse(context, host);
    },
  };
}

export type Admitting = Admission | Promise<Admission>;

/** What was already done for a request when a stored answer was looked for and not found. */
export interface HeadStart {
  readonly route: ManifestRoute | BlobRoute;
  readonly admitting: Admitting;
  /** Set when the request is in the access log already. */
  readonly logged?: LoggedRequest;
}
