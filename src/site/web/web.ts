import type { IncomingMessage, ServerResponse } from 'node:http';
import { abortWhenGone, isCrossSite, type RequestHandler, sendBytes } from '../../lib/http.ts';
import type { Log } from '../../lib/log.ts';
import { createSealer } from '../../lib/seal.ts';
import type { SharedState } from '../../lib/shared-state.ts';
import { pathIn, queryIn } from '../../lib/url.ts';
import type { AccountIdentity } from '../account.ts';
import { API_PROBLEMS, ApiProblem, toApiProblem } from '../api/api-problem.ts';
import type { ApiService } from '../api/operation.ts';
import { readBytes } from '../api/request-body.ts';
import type { Audit, AuditReason, Trail } from '../audit.ts';
import type { Authenticate } from '../authenticate.ts';
import type { ClientAddress, SiteUrl } from '../client-address.ts';
import { MESSAGES } from '../responses.ts';
import { sessionsIn } from '../sealed-cookie.ts';
import { PendingChanges } from './changes.ts';
import { loginPage, problemPage } from './form-pages.ts';
import { linkTo, PAGE_HEADERS, WEB_PATH } from './layout.ts';
import { WebSessions } from './session.ts';
import { createSiteViews } from './views.ts';
import type { Visit, WebReply } from './visit.ts';
import { WebAudit } from './web-audit.ts';

/** Sessions of people who log in at an OpenID provider. */
export interface LoginProvider {
  readonly identityIn: (cookies: string | undefined) => AccountIdentity | undefined;
  /** Ends the session; returns its `Set-Cookie`. */
  readonly endSession: (cookies: string | undefined) => Promise<string>;
  /** Path at which a login begins. */
  readonly path: string;
}

export interface WebOptions {
  readonly service: ApiService;
  readonly authenticate: Authenticate;
  /** Returns the current OpenID provider; undefined: the site has none. */
  readonly provider: () => LoginProvider | undefined;
  readonly tokenKey: Uint8Array;
  /** What replicas share; undefined: there is one replica. */
  readonly shared?: SharedState | undefined;
  readonly find: (login: string) => AccountIdentity | undefined;
  readonly clientAddress: ClientAddress;
  readonly siteUrl: SiteUrl;
  readonly audit: Audit;
  readonly log: Log;
}

function send(response: ServerResponse, reply: WebReply): void {
  const { status = 200, page = '', location, cookies = [], headers = {} } = reply;
  const extra = [
    ...(location === undefined ? [] : ['Location', location]),
    ...cookies.flatMap((cookie) => ['Set-Cookie', cookie]),
    ...Object.entries(headers).flat(),
  ];
  sendBytes(response, location === undefined ? status : 303, [...PAGE_HEADERS, ...extra], Buffer.from(page));
}

/** Accepts paths of this site's pages only. Returns the first page for anything else. */
function safeReturn(written: string | null): string {
  return written !== null && /^\/site\/[\w./?=&%@+-]*$/.test(written) && !written.includes('..')
    ? written
    : WEB_PATH;
}

async function readForm(request: IncomingMessage, response: ServerResponse): Promise<URLSearchParams> {
  const type = request.headers['content-type']?.split(';')[0]?.trim().toLowerCase();
  if (type !== 'application/x-www-form-urlencoded')
    throw new ApiProblem('media-type', 'the body is not a form');
  return new URLSearchParams((await readBytes(request, response)).toString('utf8'));
}

/** A request for a page, and the client's address. */
interface PageRequest {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly address: string;
}

/** Serves the site's pages: finds the logged-in account, and the page that a request is for. */
class WebPages {
  readonly #options: WebOptions;
  readonly #audit: WebAudit;
  readonly #sessions: WebSessions;
  readonly #views: ReturnType<typeof createSiteViews>;

  constructor(options: WebOptions) {
    const { service, tokenKey, shared, find, audit } = options;
    const { wallClock } = service;
    const changes = new PendingChanges(createSealer('metahub pending changes', tokenKey), wallClock);
    this.#options = options;
    this.#audit = new WebAudit(audit);
    this.#sessions = new WebSessions({ tokenKey, shared, find, wallClock });
    this.#views = createSiteViews({ service, changes, audit: this.#audit });
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<WebReply> {
    const address = this.#options.clientAddress(request.socket.remoteAddress ?? '', request.headers);
    const trail: Trail = { address, resource: pathIn(request.url ?? '') };
    try {
      return await this.#answer({ request, response, address }, trail);
    } catch (error) {
      this.#audit.refuse(error, trail);
      throw error;
    }
  }

  /** Answers the request, and adds the client's identity to the trail. */
  async #answer(asked: PageRequest, trail: Trail): Promise<WebReply> {
    const { request, response, address } = asked;
    const path = pathIn(request.url ?? '');
    const query = new URLSearchParams(queryIn(request.url ?? ''));
    const isPost = isPostOfSite(request);
    const name = path.slice(WEB_PATH.length);
    if (name === 'login') return isPost ? this.#login(asked) : this.#loginForm(query);
    if (name === 'logout' && isPost) return await this.#logout(request);
    const identity = await this.#identityOf(asked);
    if (identity === undefined) {
      return { location: linkTo('login', { return: isPost ? undefined : safeReturn(request.url ?? null) }) };
    }
    const { cookie = '', authorization } = request.headers;
    Object.assign(trail, {
      who: identity.login,
      account: identity.account.user,
      token: identity.token?.name,
    });
    const caller = { identity, isAdmin: identity.account.role === 'admin' };
    const visit: Visit = { caller, address, path, query, session: authorization ?? sessionsIn(cookie) };
    return this.#views(name, visit, isPost ? await readForm(request, response) : undefined);
  }

  /** Authenticates by the header or a session; undefined when neither is valid. */
  async #identityOf({ request, response, address }: PageRequest) {
    const { authenticate, provider } = this.#options;
    const { authorization, cookie } = request.headers;
    if (authorization === undefined) {
      return this.#sessions.identityIn(cookie, this.#isSecure(request)) ?? provider()?.identityIn(cookie);
    }
    const found = await authenticate.byBasic(authorization, { address, signal: abortWhenGone(response) });
    if (found.kind === 'known' && found.identity.login === found.identity.account.user) return found.identity;
    this.#refuse(found.kind === 'known' ? 'not-an-account' : found.reason, undefined, address);
    return undefined;
  }

  #loginForm(query: URLSearchParams): WebReply {
    const returnTo = safeReturn(query.get('return'));
    const providerPath = this.#options.provider()?.path;
    return { page: loginPage({ login: '', returnTo, alert: undefined, providerPath }) };
  }

  async #login({ request, response, address }: PageRequest): Promise<WebReply> {
    const { authenticate, provider, audit } = this.#options;
    const form = await readForm(request, response);
    const [user, password] = [form.get('login') ?? '', form.get('password') ?? ''];
    const returnTo = safeReturn(form.get('return'));
    const found = await authenticate.byPassword(user, password, { address, signal: abortWhenGone(response) });
    const again = (alert: string, status = 403, headers = {}) => ({
      ...{ status, headers },
      page: loginPage({ login: user, returnTo, alert, providerPath: provider()?.path }),
    });
    if (found.kind === 'unknown') {
      this.#refuse(found.reason, found.who, address);
      if (found.reason !== 'too-many-failures') return again(`Refused: ${MESSAGES[found.reason]}.`);
      const seconds = String(Math.max(1, Math.ceil((found.waitMs ?? 0) / 1000)));
      return again(`Too many failed logins: wait ${seconds} s.`, 429, { 'Retry-After': seconds });
    }
    const { identity } = found;
    if (identity.login !== identity.account.user || identity.token !== undefined) {
      this.#refuse('not-an-account', identity.login, address);
      return again(
        'Machine logins and tokens do not open the pages. Log in with the name and password of an account.',
      );
    }
    const entry = { who: user, account: user, address, resource: `${WEB_PATH}login` };
    audit({ decision: 'admitted', operation: 'login', ...entry });
    return { location: returnTo, cookies: [this.#sessions.begin(identity, this.#isSecure(request))] };
  }

  async #logout(request: IncomingMessage): Promise<WebReply> {
    const provider = this.#options.provider();
    const { cookie } = request.headers;
    const ended = provider ? [await provider.endSession(cookie)] : [];
    return {
      location: linkTo('login'),
      cookies: [await this.#sessions.end(cookie, this.#isSecure(request)), ...ended],
    };
  }

  #isSecure({ headers }: IncomingMessage): boolean {
    return this.#options.siteUrl(headers)?.startsWith('https:') === true;
  }

  #refuse(reason: AuditReason, who: string | undefined, address: string): void {
    this.#options.audit({ decision: 'refused', reason, who, address, resource: `${WEB_PATH}login` });
  }
}

/**
 * Returns true for a form, false for a page.
 * @throws {ApiProblem} for another method, and for a form of another site
 */
function isPostOfSite(request: IncomingMessage): boolean {
  const { method = '' } = request;
  if (!['GET', 'HEAD', 'POST'].includes(method)) {
    throw new ApiProblem('method-not-allowed', 'a page takes GET and POST', {
      headers: { allow: 'GET, HEAD, POST' },
    });
  }
  if (method === 'POST' && isCrossSite(request)) {
    throw new ApiProblem('cross-site', 'a page of another site may not send this form');
  }
  return method === 'POST';
}

/** Creates the handler of the site's pages, below {@link WEB_PATH}. */
export function createWeb(options: WebOptions): RequestHandler {
  const { log } = options;
  const pages = new WebPages(options);
  return (request, response) => {
    pages.answer(request, response).then(
      (reply) => send(response, reply),
      (error: unknown) => {
        const problem = toApiProblem(error);
        if (problem.status === 500)
          log('error', 'page-failed', 'a page of the site failed', { reason: String(problem.cause) });
        if (response.headersSent || response.destroyed) return response.destroy();
        const { status, code, message, nextStep, headers } = problem;
        send(response, {
          status,
          headers,
          page: problemPage(undefined, API_PROBLEMS[code][1], message, nextStep),
        });
        return undefined;
      },
    );
  };
}
