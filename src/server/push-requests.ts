import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Share } from '../lib/fair-budget.ts';
import { abortWhenGone } from '../lib/http.ts';
import type { PushForwarder } from '../oci/push.ts';
import type { SourceHost } from '../oci/reference.ts';
import type { AdmissionController } from '../oci/registry.ts';
import type { LoggedRequest } from './access-log.ts';
import { ArrivingRequest, shareOf } from './arriving-request.ts';
import { checkWrite, hostNotAllowed, readRequestVia, refuseCrossSite } from './request-validation.ts';
import { parseWriteRoute } from './routes.ts';

export interface PushRequestOptions {
  readonly gate: AdmissionController;
  /** The source host of a target that names none. */
  readonly defaultHost: SourceHost;
  readonly isOwnName: (host: string | undefined) => boolean;
  readonly pseudonym: string;
  readonly push: PushForwarder;
  readonly logged: LoggedRequest;
  /** @throws {RegistryError} 503 when too many requests are being answered. */
  readonly countInFlight: (share: Share) => void;
}

/** Admits a request of a push and forwards it. */
export async function servePush(
  req: IncomingMessage,
  res: ServerResponse,
  { gate, defaultHost, isOwnName, pseudonym, push, logged, countInFlight }: PushRequestOptions,
): Promise<void> {
  checkWrite(req);
  const route = parseWriteRoute(req.method ?? '', req.url ?? '', defaultHost);
  logged.kind = 'push';
  if (!isOwnName(req.headers.host)) throw hostNotAllowed(req);
  refuseCrossSite(req);
  readRequestVia(req, pseudonym);
  const admission = await gate.admit(new ArrivingRequest(req, res, route.repository, 'push'));
  if (res.destroyed) return;
  if (admission.kind === 'refused') throw admission.error;
  logged.login = admission.login;
  const share = shareOf(req, admission, route.repository);
  countInFlight(share);
  const { access, login = '', mayPull = () => true } = admission;
  if (req.headers.expect !== undefined) res.writeContinue();
  const write = { route, access, owner: login, client: share.client, mayPull };
  await push.forward(req, res, { ...write, signal: abortWhenGone(res) });
}
