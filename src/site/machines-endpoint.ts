import type { IncomingMessage } from 'node:http';
import * as v from 'valibot';
import { ConfigError, type ConfigErrorCode } from '../lib/config-error.ts';
import { abortWhenGone, type RequestHandler } from '../lib/http.ts';
import type { Log } from '../lib/log.ts';
import { queryIn } from '../lib/url.ts';
import { type ErrorCode, RegistryError } from '../oci/registry-error.ts';
import type { AccountIdentity } from './account.ts';
import type { Audit, Trail } from './audit.ts';
import type { Authenticate, LoginClient } from './authenticate.ts';
import type { ClientAddress } from './client-address.ts';
import type { MachineAdmin } from './machine-admin.ts';
import type { MachineEdit, NewType } from './machine-edit.ts';
import { machineListOf } from './machine-list.ts';
import { answering, basicRefusal, readBody, readJson, sendJson } from './responses.ts';

export interface MachinesEndpointOptions {
  readonly authenticate: Authenticate;
  readonly clientAddress: ClientAddress;
  readonly audit: Audit;
  readonly log: Log;
  /** Undefined: the site has no folder of machine files. */
  readonly admin: MachineAdmin | undefined;
}

/** Limits of an account that adds types over the network. Every change parses its whole file again. */
const TYPES_MAX = 500;
const FEATURES_MAX = 64;

/** Code of a failed change -> the answer. All other codes are the fault of the request's content. */
const REFUSALS: Readonly<Partial<Record<ConfigErrorCode, readonly [ErrorCode, status: number]>>> = {
  changed: ['NAME_INVALID', 409],
  'in-use': ['UNSUPPORTED', 409],
  busy: ['UNAVAILABLE', 503],
  'read-only': ['UNAVAILABLE', 503],
  unreadable: ['UNAVAILABLE', 503],
};

/** The message contains paths of the server, and most next steps are the operator's, so the client gets neither. */
function refusalOf(cause: ConfigError): RegistryError {
  const [code, status] = REFUSALS[cause.code] ?? ['NAME_INVALID', 400];
  const nextStep = cause.code === 'in-use' && cause.nextStep !== undefined ? `. ${cause.nextStep}` : '';
  return new RegistryError(code, `${cause.why}${nextStep}`, { cause, status });
}

/** `{"name": "type1", "features": ["cpu:broadwell"]}`; the parser of the machine file checks the values. */
const NewTypeBody = v.object({
  name: v.string(),
  features: v.optional(v.pipe(v.array(v.string()), v.maxLength(FEATURES_MAX)), []),
});

function readNewType(text: string): NewType {
  const type = readJson(text, NewTypeBody);
  if (type !== undefined) return type;
  throw new RegistryError(
    'NAME_INVALID',
    'the body is not a machine type: send {"name": "…", "features": ["cpu:zen4", …]}',
  );
}

function readRemovedName({ url = '' }: IncomingMessage): string {
  const name = new URLSearchParams(queryIn(url)).get('name');
  if (name) return name;
  throw new RegistryError('NAME_INVALID', 'name the machine type to remove: DELETE /site/machines?name=NAME');
}

/**
 * True when a page in a browser made the request. A browser adds a stored login to the requests of any page,
 * and names the origin of the page in these headers. No other client sends them, and no page of this site
 * calls this endpoint.
 */
function isFromPage({ headers }: IncomingMessage): boolean {
  return headers.origin !== undefined || headers['sec-fetch-site'] !== undefined;
}

/**
 * Creates the handler of machine types. `GET` lists those of an account, for `metahub login`. `POST` adds one
 * and `DELETE ?name=` removes one, when the account may manage its types. Takes Basic credentials of the
 * account itself.
 */
export function createMachinesEndpoint(options: MachinesEndpointOptions): RequestHandler {
  const { authenticate, clientAddress, audit, log, admin } = options;

  async function authenticated(
    request: IncomingMessage,
    client: LoginClient,
    trail: Trail,
  ): Promise<AccountIdentity> {
    const found = await authenticate.byBasic(request.headers.authorization, client);
    if (found.kind === 'unknown') {
      Object.assign(trail, { reason: found.reason, who: found.who });
      throw basicRefusal(found);
    }
    const { login, account, token } = found.identity;
    Object.assign(trail, { who: login, account: account.user, token: token?.name });
    if (login === account.user) return found.identity;
    trail.reason = 'not-an-account';
    throw new RegistryError('DENIED', 'log in as the account itself to see its machine types');
  }

  async function change(
    { account, password, token }: AccountIdentity,
    request: IncomingMessage,
    trail: Trail,
  ): Promise<void> {
    // Whoever finds an access token must not be able to create logins with it.
    if (!account.managesMachines || token !== undefined || admin === undefined) {
      throw new RegistryError('DENIED', `${account.user} may not change machine types`);
    }
    if (isFromPage(request)) {
      trail.reason = 'cross-site';
      throw new RegistryError('DENIED', 'a web page may not change machine types');
    }
    if (request.method === 'POST' && account.types.length >= TYPES_MAX) {
      trail.reason = 'limit';
      throw new RegistryError(
        'DENIED',
        `${account.user} already has ${TYPES_MAX} machine types, the maximum over the network: remove one`,
      );
    }
    try {
      const edit: MachineEdit =
        request.method === 'POST'
          ? { kind: 'add-type', type: readNewType(await readBody(request)) }
          : { kind: 'remove-type', name: readRemovedName(request) };
      await admin.change(account.user, edit, { author: { user: account.user, password } });
    } catch (cause) {
      throw cause instanceof ConfigError ? refusalOf(cause) : cause;
    }
  }

  const what = 'the list of machine types';
  return answering({ what, log, audit, clientAddress }, async (request, response, trail) => {
    const client = { address: trail.address, signal: abortWhenGone(response) };
    const identity = await authenticated(request, client, trail);
    const { method } = request;
    if (method === 'GET') {
      audit({ decision: 'admitted', ...trail, operation: 'listMachineTypes' });
      sendJson(response, 200, machineListOf(identity.account));
      return;
    }
    if (method !== 'POST' && method !== 'DELETE') {
      throw new RegistryError('UNSUPPORTED', 'this path takes GET, POST and DELETE', {
        headers: { allow: 'GET, POST, DELETE' },
      });
    }
    trail.operation = method === 'POST' ? 'addMachineType' : 'removeMachineType';
    await change(identity, request, trail);
    audit({ decision: 'changed', ...trail });
    sendJson(response, method === 'POST' ? 201 : 200, {});
  });
}
