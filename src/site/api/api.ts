import type { IncomingMessage, ServerResponse } from 'node:http';
import { abortWhenGone, isCrossSite, type RequestHandler, sendBytes } from '../../lib/http.ts';
import type { Log } from '../../lib/log.ts';
import { jsonText } from '../../lib/text.ts';
import { pathIn, queryIn } from '../../lib/url.ts';
import type { AccountIdentity } from '../account.ts';
import type { Audit, Trail } from '../audit.ts';
import type { Authenticate } from '../authenticate.ts';
import type { ClientAddress } from '../client-address.ts';
import { MESSAGES } from '../responses.ts';
import { ApiProblem, auditReasonOf, toApiProblem } from './api-problem.ts';
import { entityTagOf, matchesStrongly, matchesWeakly } from './entity-tag.ts';
import type { ApiCaller } from './managed-accounts.ts';
import type { ApiCall, ApiOperation, ApiReply, ApiService } from './operation.ts';
import { readJsonBody } from './request-body.ts';
import { API_PATH, createApiRouter, cursorOf, readListQuery } from './routes.ts';

export interface ApiOptions {
  readonly operations: readonly ApiOperation[];
  readonly service: ApiService;
  readonly authenticate: Authenticate;
  /** Finds the identity of a person's session in the `Cookie` header. */
  readonly sessionOf?: ((cookies: string | undefined) => AccountIdentity | undefined) | undefined;
  readonly clientAddress: ClientAddress;
  readonly audit: Audit;
  readonly log: Log;
}

/** Forbids caches to store an answer, and pages of other sites to read it. */
const HEADERS = [
  ...['Cache-Control', 'private, no-store', 'Vary', 'Authorization'],
  ...['X-Content-Type-Options', 'nosniff', 'Cross-Origin-Resource-Policy', 'same-origin'],
];

const CHALLENGE = 'Basic realm="metahub", charset="UTF-8"';

function sendProblem(response: ServerResponse, problem: ApiProblem): void {
  const headers = [
    ...HEADERS,
    'Content-Type',
    'application/problem+json',
    ...Object.entries(problem.headers).flat(),
  ];
  sendBytes(response, problem.status, headers, Buffer.from(jsonText(problem)));
}

function ifMatchRequired(): ApiProblem {
  return new ApiProblem('if-match-required', 'an edit needs If-Match with the ETag of the resource', {
    nextStep: 'GET the resource and send its ETag as If-Match.',
  });
}

/** Returns the check of the preconditions. @throws {ApiProblem} when an edit has no `If-Match` */
function expectationOf({ headers }: IncomingMessage, { isEdit, isPut }: ApiOperation): ApiCall['expect'] {
  const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch } = headers;
  if (isEdit && ifMatch === undefined) throw ifMatchRequired();
  const changed = (detail: string) =>
    new ApiProblem('changed', detail, {
      nextStep: 'GET it again, and repeat the edit if it still makes sense.',
    });
  return (resource) => {
    const tag = resource && entityTagOf(jsonText(resource.body), resource.state);
    if (tag !== undefined && matchesWeakly(ifNoneMatch, tag)) {
      throw changed('the resource exists, which If-None-Match forbids');
    }
    if (isPut && tag !== undefined && ifMatch === undefined) throw ifMatchRequired();
    if (ifMatch === undefined || (tag !== undefined && matchesStrongly(ifMatch, tag))) return;
    throw changed('the resource is no longer the one that If-Match names');
  };
}

function sendReply(request: IncomingMessage, response: ServerResponse, reply: ApiReply): void {
  const { status = 200, resource, body = resource?.body, location, next } = reply;
  const entityTag = resource && entityTagOf(jsonText(resource.body), resource.state);
  const headers = [...HEADERS, ...(entityTag === undefined ? [] : ['ETag', entityTag])];
  if (location !== undefined) headers.push('Location', `${API_PATH}${location}`);
  if (next !== undefined) headers.push('Link', `<${nextTarget(request, next)}>; rel="next"`);
  const isRead = request.method === 'GET' || request.method === 'HEAD';
  if (isRead && entityTag !== undefined && matchesWeakly(request.headers['if-none-match'], entityTag)) {
    response.writeHead(304, headers).end();
  } else if (body === undefined) {
    response.writeHead(status, headers).end();
  } else {
    sendBytes(
      response,
      status,
      ['Content-Type', 'application/json', ...headers],
      Buffer.from(jsonText(body)),
    );
  }
}

function nextTarget({ url = '' }: IncomingMessage, key: string): string {
  const query = new URLSearchParams(queryIn(url));
  query.set('cursor', cursorOf(key));
  return `${pathIn(url)}?${query}`;
}

/** Creates the handler of the management API, below {@link API_PATH}. */
export function createApi(options: ApiOptions): RequestHandler {
  const { operations, service, authenticate, clientAddress, audit, log } = options;
  const find = createApiRouter(operations);

  async function callerOf(
    request: IncomingMessage,
    response: ServerResponse,
    trail: Trail,
  ): Promise<ApiCaller> {
    const { authorization, cookie } = request.headers;
    const session = authorization === undefined ? options.sessionOf?.(cookie) : undefined;
    if (session !== undefined) return { identity: session, isAdmin: session.account.role === 'admin' };
    const client = { address: trail.address, signal: abortWhenGone(response) };
    const found = await authenticate.byBasic(authorization, client);
    if (found.kind === 'unknown') {
      trail.who = found.who;
      trail.reason = found.reason;
      throw loginProblem(found.reason, found.waitMs);
    }
    const { identity } = found;
    const { account, login } = identity;
    if (login === account.user) return { identity, isAdmin: account.role === 'admin' };
    Object.assign(trail, { reason: 'not-an-account', who: login, account: account.user });
    throw new ApiProblem('not-allowed', 'the login of a machine does not open the API', {
      nextStep: 'Log in as the account itself.',
    });
  }

  /** Answers the request, and adds the caller and the resource to the trail. */
  async function answer(request: IncomingMessage, response: ServerResponse, trail: Trail): Promise<void> {
    const { method = '', url = '' } = request;
    const path = pathIn(url);
    trail.resource = path;
    const { operation, params } = find(method, path.slice(API_PATH.length));
    trail.operation = operation.id;
    const query = new URLSearchParams(queryIn(url));
    const list = readListQuery(operation, query);
    if (operation.document)
      return sendReply(request, response, { resource: { body: await operation.document() } });
    if (isCrossSite(request))
      throw new ApiProblem('cross-site', 'a web page of another site may not use the API');
    const caller = await callerOf(request, response, trail);
    const { login: who, account, token } = caller.identity;
    Object.assign(trail, { who, account: account.user, token: token?.name });
    const expect = expectationOf(request, operation);
    const body = operation.body && (await readJsonBody(request, response, operation.body));
    const reply = (await operation.run?.(service, { caller, params, list, query, body, expect })) ?? {};
    const resource = reply.location === undefined ? path : `${API_PATH}${reply.location}`;
    audit({ decision: operation.method === 'GET' ? 'admitted' : 'changed', ...trail, resource });
    sendReply(request, response, reply);
  }

  return (request, response) => {
    const trail: Trail = { address: clientAddress(request.socket.remoteAddress ?? '', request.headers) };
    answer(request, response, trail).catch((error: unknown) => {
      const problem = toApiProblem(error);
      audit({ decision: 'refused', ...trail, reason: trail.reason ?? auditReasonOf(problem) });
      if (problem.status === 500) {
        const { cause } = problem;
        log('error', 'api-failed', 'a request to the API failed', { reason: String(cause) });
      }
      if (response.headersSent || response.destroyed) response.destroy();
      else sendProblem(response, problem);
    });
  };
}

function loginProblem(reason: keyof typeof MESSAGES | 'too-many-failures', waitMs = 0): ApiProblem {
  if (reason === 'too-many-failures') {
    const seconds = String(Math.max(1, Math.ceil(waitMs / 1000)));
    const headers = { 'retry-after': seconds };
    return new ApiProblem('too-many-failures', `wait ${seconds} s`, { headers });
  }
  const code = reason === 'no-credentials' ? 'login-required' : 'login-refused';
  return new ApiProblem(code, MESSAGES[reason], {
    nextStep: 'Send the account’s user name and password by HTTP Basic.',
    headers: { 'www-authenticate': CHALLENGE },
  });
}
