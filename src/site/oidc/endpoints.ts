import type { IncomingMessage, ServerResponse } from 'node:http';
import { ConfigError } from '../../lib/config-error.ts';
import { isCrossSite, type RequestHandler } from '../../lib/http.ts';
import type { Log } from '../../lib/log.ts';
import { queryIn } from '../../lib/url.ts';
import { RegistryError } from '../../oci/registry-error.ts';
import { type Account, type AccountIdentity, NAME } from '../account.ts';
import { AUDIT_REASONS, type Audit, type AuditReason, type Trail } from '../audit.ts';
import type { ClientAddress } from '../client-address.ts';
import { answering, readBody, type SiteAnswer, sendJson } from '../responses.ts';
import type { UsedOnce } from '../used-once.ts';
import { LOGIN_PATHS } from './paths.ts';
import { type PersonAccounts, PersonRefusedError } from './person-accounts.ts';
import type { OidcProvider } from './provider.ts';
import type { OidcMemory } from './session.ts';
import { type Claims, type OidcSettings, type Person, personOf } from './settings.ts';

/** @see https://www.rfc-editor.org/rfc/rfc8693#section-2.1 */
const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ID_TOKEN = 'urn:ietf:params:oauth:token-type:id_token';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';

const TOKEN_DAYS = 30;
const DAY_MS = 24 * 60 * 60_000;

export interface OidcEndpointsOptions {
  readonly settings: OidcSettings;
  readonly provider: OidcProvider;
  readonly people: PersonAccounts;
  readonly memory: OidcMemory;
  readonly find: (user: string) => AccountIdentity | undefined;
  readonly clientAddress: ClientAddress;
  readonly audit: Audit;
  readonly log: Log;
  /** Milliseconds of the wall clock. */
  readonly wallClock: () => number;
}

/** Accepts paths of this site only. Returns `/` for anything else. */
export function safeReturn(written: string | null): string {
  const text = written ?? '/';
  const base = 'http://site.invalid';
  if (!/^\/[!-~]*$/.test(text) || text.length > 1024 || !URL.canParse(text, base)) return '/';
  const url = new URL(text, base);
  // Browsers read a backslash as a slash: `/\host` would be another host.
  return url.origin === base && !text.includes('\\') && !url.pathname.startsWith('//')
    ? url.pathname + url.search
    : '/';
}

function codeOf(error: unknown): string {
  const { code } = error as { readonly code?: unknown };
  return typeof code === 'string' ? code : ((error as Error).name ?? 'unknown');
}

/** Logs people in at the provider, exchanges ID tokens, and logs out. */
class OidcEndpoints {
  readonly #options: OidcEndpointsOptions;

  constructor(options: OidcEndpointsOptions) {
    this.#options = options;
  }

  handlers(): ReadonlyMap<string, RequestHandler> {
    return new Map([
      [LOGIN_PATHS.begin, this.#handler('GET', (request, response) => this.#begin(request, response))],
      [LOGIN_PATHS.callback, this.#handler('GET', (...call) => this.#callback(...call))],
      [LOGIN_PATHS.provider, this.#handler('GET', (_, response) => this.#describe(response))],
      [LOGIN_PATHS.token, this.#handler('POST', (...call) => this.#exchange(...call))],
      [LOGIN_PATHS.end, this.#handler('POST', (...call) => this.#end(...call))],
    ]);
  }

  #handler(method: 'GET' | 'POST', answer: SiteAnswer): RequestHandler {
    const { clientAddress, log, audit } = this.#options;
    return answering({ what: 'the login', log, audit, clientAddress }, async (request, response, trail) => {
      trail.operation = 'login';
      if (request.method !== method) {
        throw new RegistryError('UNSUPPORTED', `this path takes ${method} only`, {
          status: 405,
          headers: { allow: method },
        });
      }
      await answer(request, response, trail);
    });
  }

  async #begin(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { provider, memory, settings, log } = this.#options;
    const query = new URLSearchParams(queryIn(request.url ?? ''));
    const { url, pending } = await provider.begin().catch((error: unknown) => {
      log('warning', 'oidc-provider-fails', 'the OpenID provider does not answer', {
        issuer: settings.issuer,
        reason: (error as Error).message,
      });
      throw new RegistryError('UNAVAILABLE', 'the OpenID provider does not answer: try again later', {
        status: 502,
      });
    });
    const cookie = memory.sessions.storeLogin({
      ...pending,
      issuer: settings.issuer,
      returnTo: safeReturn(query.get('return')),
    });
    response.writeHead(303, { location: url.href, 'set-cookie': cookie, 'cache-control': 'no-store' }).end();
  }

  async #callback(request: IncomingMessage, response: ServerResponse, trail: Trail): Promise<void> {
    const { provider, memory, find, audit, settings } = this.#options;
    const { sessions } = memory;
    const query = queryIn(request.url ?? '');
    const begun = sessions.readLogin(request.headers.cookie);
    if (begun === undefined) throw this.#refusal('no-login-begun', trail);
    // A reload may have replaced the provider since the login began.
    const isHere = begun.issuer === settings.issuer;
    if (!isHere || new URLSearchParams(query).get('state') !== begun.state) {
      throw this.#refusal('other-state', trail);
    }
    await this.#useOnce(memory.usedStates, begun.state, trail);
    const claims = await provider.finish(query, begun).catch((error: unknown) => {
      throw this.#toLoginRefusal(error, trail);
    });
    const person = this.#personWith(claims, trail);
    const identity = await this.#withAccount(person, trail, ({ user }) => find(user));
    if (identity === undefined) throw this.#refusal('no-account', trail, person.user);
    audit({ decision: 'admitted', ...trail, who: person.user, account: person.user });
    response
      .writeHead(303, {
        location: begun.returnTo,
        'set-cookie': [sessions.removeLogin(), sessions.begin(person, identity)],
        'cache-control': 'no-store',
      })
      .end();
  }

  /** Exchanges an ID token of the provider for an access token of this site, once. */
  async #exchange(request: IncomingMessage, response: ServerResponse, trail: Trail): Promise<void> {
    const { provider, people, audit, memory, wallClock } = this.#options;
    const { idToken, name, push } = readExchange(new URLSearchParams(await readBody(request)));
    const claims = await provider.verify(idToken).catch((error: unknown) => {
      throw this.#toLoginRefusal(error, trail);
    });
    const person = this.#personWith(claims, trail);
    // The key omits the signature, because one signature has several valid encodings.
    await this.#useOnce(memory.usedTokens, idToken.split('.').slice(0, 2).join('.'), trail);
    const { user } = person;
    const wanted = { name, expires: new Date(wallClock() + TOKEN_DAYS * DAY_MS), push };
    const token = await this.#withAccount(person, trail, (account) =>
      people.makeToken(account, person, wanted),
    );
    audit({ decision: 'token given', ...trail, who: user, account: user, token: name });
    sendJson(response, 200, {
      access_token: token,
      issued_token_type: ACCESS_TOKEN,
      token_type: 'N_A',
      expires_in: TOKEN_DAYS * 24 * 60 * 60,
      username: user,
    });
  }

  /** Ends the session. Refuses requests from pages of other sites. */
  async #end(request: IncomingMessage, response: ServerResponse, trail: Trail): Promise<void> {
    if (isCrossSite(request)) throw this.#refusal('cross-site', trail);
    response
      .writeHead(303, {
        location: '/',
        'set-cookie': await this.#options.memory.sessions.end(request.headers.cookie),
        'cache-control': 'no-store',
      })
      .end();
  }

  async #describe(response: ServerResponse): Promise<void> {
    const { issuer, clientId, deviceClientId = clientId, scopes } = this.#options.settings;
    sendJson(response, 200, { issuer, client_id: deviceClientId, scope: scopes.join(' ') });
  }

  async #useOnce(used: UsedOnce, text: string, trail: Trail): Promise<void> {
    const use = await used.use(text);
    if (use === 'used') throw this.#refusal('login-used', trail);
    if (use === 'first') return;
    trail.reason = 'limit';
    throw new RegistryError('TOOMANYREQUESTS', 'too many people have logged in: try again in some minutes', {
      headers: { 'retry-after': '60' },
    });
  }

  #personWith(claims: Claims, trail: Trail): Person {
    const person = personOf(claims, this.#options.settings.accounts);
    if (person === undefined) throw this.#refusal('no-rule', trail);
    return person;
  }

  /** Opens the person's account, calls `work` with it, and converts errors. */
  async #withAccount<T>(
    person: Person,
    trail: Trail,
    work: (account: Account) => T | Promise<T>,
  ): Promise<T> {
    try {
      return await work(await this.#options.people.open(person));
    } catch (error) {
      throw this.#toAccountRefusal(error, person, trail);
    }
  }

  #refusal(reason: AuditReason, trail: Trail, who?: string): RegistryError {
    Object.assign(trail, { reason, who });
    return new RegistryError('DENIED', `the login is refused: ${AUDIT_REASONS[reason]}`, { status: 403 });
  }

  /** Logs why a login at the provider failed. The error for the client does not contain the reason. */
  #toLoginRefusal(error: unknown, trail: Trail): RegistryError {
    const { settings, log } = this.#options;
    log('notice', 'oidc-login-failed', 'a login at the OpenID provider failed', {
      issuer: settings.issuer,
      code: codeOf(error),
      reason: (error as Error).message,
    });
    return this.#refusal('no-valid-login', trail);
  }

  /** Converts an error about a person's account for the client. */
  #toAccountRefusal(error: unknown, { user }: Person, trail: Trail): unknown {
    if (error instanceof PersonRefusedError) return this.#refusal(error.code, trail, user);
    if (!(error instanceof ConfigError)) return error;
    this.#options.log('warning', 'oidc-account-failed', 'cannot write the account of a person', {
      account: user,
      reason: error.message,
    });
    return new RegistryError('UNAVAILABLE', 'MetaHub cannot write the account: try again later', {
      status: 503,
    });
  }
}

/** Reads the form of a token exchange. @throws {RegistryError} UNSUPPORTED, NAME_INVALID */
function readExchange(form: URLSearchParams) {
  if (form.get('grant_type') !== TOKEN_EXCHANGE || form.get('subject_token_type') !== ID_TOKEN) {
    const message = `the form is not a token exchange: send grant_type=${TOKEN_EXCHANGE} and an ID token`;
    throw new RegistryError('UNSUPPORTED', message, { status: 400 });
  }
  const name = form.get('name') ?? 'login';
  if (!NAME.test(name)) {
    const message = 'name is not the name of a token: it may contain letters, digits and . _ - @ only';
    throw new RegistryError('NAME_INVALID', message, { status: 400 });
  }
  return { idToken: form.get('subject_token') ?? '', name, push: form.get('scope') === 'push' };
}

/** Creates the endpoints that log people in at the provider, exchange ID tokens, and log out. */
export function createOidcEndpoints(options: OidcEndpointsOptions): ReadonlyMap<string, RequestHandler> {
  return new OidcEndpoints(options).handlers();
}
