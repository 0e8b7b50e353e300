import type { IncomingMessage } from 'node:http';
import { ConfigError, type ConfigErrorCode } from '../lib/config-error.ts';
import { abortWhenGone, type RequestHandler } from '../lib/http.ts';
import { RegistryError } from '../oci/registry-error.ts';
import type { AccountIdentity } from './account.ts';
import type { Audit } from './audit.ts';
import type { Authenticate, LoginClient } from './authenticate.ts';
import type { ClientAddress } from './client-address.ts';
import type { MachineAdmin } from './machine-admin.ts';
import type { NewType } from './machine-edit.ts';
import { machineListOf } from './machine-list.ts';
import { answering, basicRefusal, readBody, sendJson } from './responses.ts';

export interface MachinesEndpointOptions {
  readonly authenticate: Authenticate;
  readonly clientAddress: ClientAddress;
  readonly audit: Audit;
  /** Undefined: there is no folder to change. */
  readonly admin: MachineAdmin | undefined;
}

/** Types of one account that may be made over the network, and features of each: all are read again at every change. */
const TYPES_MAX = 500;
const FEATURES_MAX = 64;

/** What a change failed of -> the status, where it is not the client's words that are wrong (400). */
const STATUS: Readonly<Partial<Record<ConfigErrorCode, number>>> = {
  changed: 409,
  busy: 503,
  'read-only': 503,
};

/** `{"name": "type1", "features": ["cpu:broadwell"]}`; that they are known is checked with the whole file. */
function readNewType(text: string): NewType {
  const wrong = new RegistryError(
    'NAME_INVALID',
    'a machine type is {"name": "…", "features": ["cpu:zen4", …]}',
  );
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    // Whatever the parser says of it, the answer is the same.
    throw wrong;
  }
  if (typeof body !== 'object' || body === null) throw wrong;
  const { name, features = [] } = body as { name?: unknown; features?: unknown };
  if (
    typeof name !== 'string' ||
    !Array.isArray(features) ||
    features.length > FEATURES_MAX ||
    !features.every((one) => typeof one === 'string')
  ) {
    throw wrong;
  }
  return { name, features };
}

/**
 * A browser adds a stored login to the requests of any page, and says where the page came from. Other clients send neither
 * header, and this site has no page that would.
 */
function isFromPage({ headers }: IncomingMessage): boolean {
  return headers.origin !== undefined || headers['sec-fetch-site'] !== undefined;
}

/**
 * `GET` lists an account's machine types (which `metahub login` asks for); `POST` adds one and `DELETE ?name=` removes one,
 * for accounts that manage them. Basic credentials of the account itself.
 */
export function createMachinesEndpoint(options: MachinesEndpointOptions): RequestHandler {
  const { authenticate, clientAddress, audit, admin } = options;

  async function authenticated(request: IncomingMessage, client: LoginClient): Promise<AccountIdentity> {
    const found = await authenticate.byBasic(request.headers.authorization, client);
    const { address } = client;
    if (found.kind === 'unknown') {
      audit({ decision: 'refused', reason: found.reason, who: found.who, address });
      throw basicRefusal(found);
    }
    const { login, account } = found.identity;
    if (login === account.user) return found.identity;
    audit({ decision: 'refused', reason: 'not an account', who: login, account: account.user, address });
    throw new RegistryError('DENIED', 'only the account itself sees its machine types: use its login');
  }

  async function change(
    { account, password, token }: AccountIdentity,
    request: IncomingMessage,
  ): Promise<void> {
    // An access token is for pulling; who finds one must not be able to make logins of their own.
    if (!account.managesMachines || token !== undefined || admin === undefined) {
      throw new RegistryError('DENIED', `${account.user} may not change machine types`);
    }
    if (isFromPage(request))
      throw new RegistryError('DENIED', 'machine types are not changed from a web page');
    if (request.method === 'POST' && account.types.length >= TYPES_MAX) {
      throw new RegistryError(
        'DENIED',
        `${account.user} has ${TYPES_MAX} machine types: no more over the network`,
      );
    }
    const name = new URLSearchParams(request.url?.split('?')[1] ?? '').get('name') ?? '';
    try {
      if (request.method === 'POST') {
        await admin.addType(account.user, readNewType(await readBody(request)), { password });
      } else await admin.removeType(account.user, name, { password });
    } catch (cause) {
      if (!(cause instanceof ConfigError)) throw cause;
      // The paths of the server's files, part of the message, are not for the client.
      const status = STATUS[cause.code] ?? 400;
      const code = status === 503 ? 'UNAVAILABLE' : 'NAME_INVALID';
      throw new RegistryError(code, cause.why, { cause, status });
    }
  }

  return answering('the list of machine types', async (request, response) => {
    const address = clientAddress(request.socket.remoteAddress ?? '', request.headers);
    const identity = await authenticated(request, { address, signal: abortWhenGone(response) });
    const decided = { who: identity.login, account: identity.account.user, address };
    const { method } = request;
    if (method === 'GET') {
      audit({ decision: 'admitted', reason: 'lists machine types', ...decided });
      sendJson(response, 200, machineListOf(identity.account));
      return;
    }
    if (method !== 'POST' && method !== 'DELETE') {
      throw new RegistryError('UNSUPPORTED', 'machine types are read, added and removed', {
        headers: { allow: 'GET, POST, DELETE' },
      });
    }
    try {
      await change(identity, request);
    } catch (error) {
      audit({ decision: 'refused', reason: `${method} of machine types`, ...decided });
      throw error;
    }
    audit({ decision: 'admitted', reason: `${method} of machine types`, ...decided });
    sendJson(response, method === 'POST' ? 201 : 200, {});
  });
}
