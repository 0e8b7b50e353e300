import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FairBudget } from '../lib/fair-budget.ts';
import type { PacedStarts } from '../lib/queue.ts';
import { type LentBytes, readerHasLeft } from '../lib/writable.ts';
import type { SourceHost } from '../oci/reference.ts';
import type { AdmissionController, Admitted, SmallBlob } from '../oci/registry.ts';
import type { AccessLog, LoggedRequest } from './access-log.ts';
import { ArrivingRequest, type HeadStart, shareOf } from './arriving-request.ts';
import { blobHeaders, rangeAsked } from './blobs.ts';
import type { PipelineQueue } from './connections.ts';
import { announceNamespace } from './response.ts';
import { type BlobRoute, createBlobRouteReader } from './routes.ts';

export interface SmallBlobOptions {
  readonly gate: AdmissionController;
  /** The source host of a target that names none. */
  readonly defaultHost: SourceHost;
  /** Limit of the request target, in bytes. */
  readonly targetBytes: number;
  readonly starts: PacedStarts;
  readonly inFlight: FairBudget;
  readonly pipeline: PipelineQueue;
  readonly accessLog: AccessLog;
  /** True when every request needs a login. */
  readonly hasLogins: boolean;
  readonly onError: (req: IncomingMessage, res: ServerResponse, error: unknown) => void;
}

/** A request that this handler answers. */
interface Answering {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly route: BlobRoute;
  readonly admitted: Admitted;
  readonly logged: LoggedRequest;
  /** Ends its count as a running request. */
  readonly release: () => void;
  /** Passes the request to the usual handler. */
  readonly takeOver: (headStart: HeadStart) => void;
  /** The memory that is being sent. */
  lent: LentBytes | undefined;
}

/**
 * Sends the body. `end` waits for the write: a response that has ended counts as complete, even if the client
 * leaves while the socket still reads the memory.
 */
function sendLent(answering: Answering, lent: LentBytes, onError: SmallBlobOptions['onError']): void {
  const { req, res } = answering;
  answering.lent = lent;
  res.write(lent.bytes, (error) => {
    if (answering.lent === undefined) return;
    answering.lent = undefined;
    if (error) lent.giveUp();
    else lent.giveBack();
    // Node.js reports no error when the connection was destroyed meanwhile.
    if (error || req.socket.destroyed) onError(req, res, error ?? readerHasLeft());
    else res.end();
  });
}

/**
 * The fast path of a GET for a small part of a stored blob, such as a configuration or a lazy reader's range. It
 * applies the same limits and admission and sends the same headers as the usual path, but uses no stream and no
 * chain of registries.
 */
export class SmallBlobs {
  readonly #options: SmallBlobOptions;
  readonly #routeOf: (target: string) => BlobRoute | undefined;

  constructor(options: SmallBlobOptions) {
    this.#options = options;
    this.#routeOf = createBlobRouteReader(options.defaultHost);
  }

  /** Starts to answer a plain request. False when nothing was done for it. */
  begin(
    req: IncomingMessage,
    res: ServerResponse,
    startedMs: number,
    takeOver: Answering['takeOver'],
  ): boolean {
    const { gate, starts, inFlight, pipeline, accessLog, targetBytes } = this.#options;
    const { url = '', method, headers } = req;
    if (method !== 'GET' || url.length > targetBytes || headers['if-none-match'] !== undefined) return false;
    const route = starts.isFree ? this.#routeOf(url) : undefined;
    if (route === undefined) return false;
    const { repository, digest } = route;
    const admitting = gate.admit(new ArrivingRequest(req, res, repository));
    if (admitting instanceof Promise || admitting.kind === 'refused') {
      takeOver({ route, admitting });
      return true;
    }
    const { registry, access, login } = admitting;
    const release = inFlight.tryTake(1, shareOf(req, admitting, repository));
    let reading: Promise<SmallBlob | undefined> | undefined;
    try {
      reading =
        release && registry.smallBlob?.(repository, digest, { access, range: rangeAsked(req, route) });
    } finally {
      if (reading === undefined) release?.();
    }
    if (release === undefined || reading === undefined) {
      takeOver({ route, admitting });
      return true;
    }
    starts.count();
    pipeline.track(req, res);
    const logged = accessLog.begin(req, res, startedMs);
    logged.kind = 'blob';
    logged.login = login;
    const answering: Answering = {
      ...{ req, res, route, admitted: admitting, logged, release, takeOver },
      lent: undefined,
    };
    res.once('close', () => this.#onClose(answering));
    void this.#answer(answering, reading);
    return true;
  }

  #onClose(answering: Answering): void {
    const { req, res, logged, release, lent } = answering;
    release();
    logged.end();
    if (lent === undefined) return;
    answering.lent = undefined;
    lent.giveUp();
    this.#options.onError(req, res, readerHasLeft());
  }

  async #answer(answering: Answering, reading: Promise<SmallBlob | undefined>): Promise<void> {
    const { req, res, route, admitted, logged, release, takeOver } = answering;
    const { hasLogins, onError } = this.#options;
    try {
      const blob = await reading;
      if (blob === undefined) {
        release();
        takeOver({ route, admitting: admitted, logged });
        return;
      }
      if (res.destroyed) return blob.lent.giveBack();
      announceNamespace(res, route);
      const isPrivate = hasLogins || admitted.access !== undefined;
      res.writeHead(blob.range === undefined ? 200 : 206, blobHeaders(blob, isPrivate, blob.range));
      sendLent(answering, blob.lent, onError);
    } catch (error) {
      onError(req, res, error);
    }
  }
}
