import type { RequestHandler } from '../lib/http.ts';
import { createApi } from './api/api.ts';
import type { ApiService } from './api/operation.ts';
import { API_OPERATIONS } from './api/operations.ts';
import { API_PATH } from './api/routes.ts';
import { WEB_PATH } from './web/layout.ts';
import { createWeb, type WebOptions } from './web/web.ts';

export interface ManagementOptions extends ApiService, Omit<WebOptions, 'service'> {}

/** Creates the handlers that manage a site: the API for programs, and the pages for people. */
export function createManagement(options: ManagementOptions): ReadonlyMap<string, RequestHandler> {
  const { accounts, record, gaps, rightsOf, hash, wallClock, ...others } = options;
  const service: ApiService = { accounts, record, gaps, rightsOf, hash, wallClock };
  const { authenticate, clientAddress, audit, log, provider } = others;
  const api = createApi({
    ...{ operations: API_OPERATIONS, service, authenticate, clientAddress, audit, log },
    sessionOf: (cookies) => provider()?.identityIn(cookies),
  });
  return new Map<string, RequestHandler>([
    [`${API_PATH}/`, api],
    [WEB_PATH, createWeb({ ...others, service })],
    // People omit the slash at the end.
    [
      WEB_PATH.slice(0, -1),
      (_, response) =>
        void response.writeHead(308, { location: WEB_PATH, 'cache-control': 'no-store' }).end(),
    ],
  ]);
}
