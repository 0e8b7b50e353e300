import type { IncomingMessage } from 'node:http';
import * as v from 'valibot';
import { ConfigError } from '../../lib/config-error.ts';
import type { RequestHandler } from '../../lib/http.ts';
import type { Log } from '../../lib/log.ts';
import { queryIn } from '../../lib/url.ts';
import { RegistryError } from '../../oci/registry-error.ts';
import { type Account, createAccessToken, enrolmentHashOf } from '../account.ts';
import type { AccountIndex } from '../account-index.ts';
import { AUDIT_REASONS, type Audit, type AuditReason } from '../audit.ts';
import type { ClientAddress } from '../client-address.ts';
import type { MachineAdmin } from '../machine-admin.ts';
import type { MachineEdit } from '../machine-edit.ts';
import { answering, readBody, readJson, sendJson } from '../responses.ts';
import { CHALLENGE_MS, type Challenges } from './challenge.ts';
import type { CloudVerdict } from './cloud-identity.ts';
import { PRESENTED_IDENTITY, type PresentedIdentity } from './cloud-rules.ts';

/** Path at which a machine enrols. */
export const ENROL_PATH = '/site/enrol';

/** The answer to `GET`. The nonce of an attested document is computed from it, see azure-nonce.ts. */
export interface EnrolmentChallenge {
  readonly challenge: string;
}

/** The credentials of an enrolled machine: its type's user name, and its own token as the password. */
export interface EnrolledMachine {
  readonly login: string;
  readonly token: string;
}

type Enrolling =
  | { readonly kind: 'refused'; readonly reason: AuditReason; readonly who?: string }
  | { readonly user: string; readonly login: string; readonly name: string; readonly edit: MachineEdit };

/** The checks for instances of the configured clouds. */
export interface CloudChecks {
  /** Undefined: the site configures no cloud. */
  readonly checkCloud: ((presented: PresentedIdentity) => Promise<CloudVerdict>) | undefined;
  /** Creates a challenge; undefined when no rule is for Azure, the only cloud that needs one. */
  readonly createChallenge: Challenges['create'] | undefined;
}

export interface EnrolEndpointOptions {
  /** Undefined: the site has no folder of machine files. */
  readonly admin: MachineAdmin | undefined;
  readonly enrolmentOf: AccountIndex['enrolmentOf'];
  readonly accountOf: (user: string) => Account | undefined;
  /** The checks of the current settings. */
  readonly cloud: () => CloudChecks;
  /** Reads the machine files again. */
  readonly onChanged: () => Promise<void>;
  readonly clientAddress: ClientAddress;
  readonly audit: Audit;
  readonly log: Log;
  /** Milliseconds of the wall clock. */
  readonly wallClock: () => number;
}

/** SHA-256 in base64url. */
const COMMITMENT = /^[\w-]{43}$/;

const BODY = v.union([v.object({ token: v.string() }), PRESENTED_IDENTITY]);

async function bodyOf(request: IncomingMessage) {
  const body = readJson(await readBody(request), BODY);
  if (body !== undefined) return body;
  throw new RegistryError('UNSUPPORTED', 'the body is not an enrolment: send {"token": "metahub_enrol_…"}', {
    status: 400,
  });
}

function commitmentIn({ url = '' }: IncomingMessage): string {
  const [commitment, ...others] = new URLSearchParams(queryIn(url)).getAll('commitment');
  if (commitment !== undefined && others.length === 0 && COMMITMENT.test(commitment)) return commitment;
  throw new RegistryError('UNSUPPORTED', 'the challenge needs a commitment: update metahub on the VM', {
    status: 400,
  });
}

function tooManyChallenges(): RegistryError {
  return new RegistryError('TOOMANYREQUESTS', 'too many challenges: repeat in a minute', {
    headers: { 'retry-after': String(CHALLENGE_MS / 1000) },
  });
}

/**
 * Creates the handler of enrolments. `GET ?commitment=…` returns a challenge for an Azure VM. `POST` takes
 * the one-time secret of an enrolment or the identity document of a cloud instance, and returns an access
 * token that opens the login of the machine's type.
 */
export function createEnrolEndpoint(options: EnrolEndpointOptions): RequestHandler {
  const { admin, accountOf, enrolmentOf, cloud, onChanged } = options;
  const { clientAddress, audit, log, wallClock } = options;

  async function machineOf(body: v.InferOutput<typeof BODY>, tokenSha256: string): Promise<Enrolling> {
    if (!('token' in body)) {
      const verdict = (await cloud().checkCloud?.(body)) ?? {
        kind: 'refused',
        reason: 'no-cloud-enrolment',
      };
      if (verdict.kind === 'refused') return verdict;
      const { account: user, type, name } = verdict.machine;
      const login = accountOf(user)?.types.find((one) => one.name === type)?.login;
      if (login === undefined) return { kind: 'refused', reason: 'no-machine-type' };
      return { user, login, name, edit: { kind: 'add-token', token: { name, type, sha256: tokenSha256 } } };
    }
    const sha256 = enrolmentHashOf(body.token);
    const found = sha256 === undefined ? undefined : enrolmentOf(sha256);
    const login = found?.account.types.find(({ name }) => name === found.enrolment.type)?.login;
    if (sha256 === undefined || found === undefined || login === undefined) {
      return { kind: 'refused', reason: 'unknown-enrolment' };
    }
    const { account, enrolment } = found;
    if (wallClock() >= enrolment.expiresMs)
      return { kind: 'refused', reason: 'expired-enrolment', who: login };
    return { user: account.user, login, name: enrolment.name, edit: { kind: 'enrol', sha256, tokenSha256 } };
  }

  return answering({ what: 'the enrolment', log, audit, clientAddress }, async (request, response, trail) => {
    trail.operation = 'enrol';
    const { createChallenge } = cloud();
    if (request.method === 'GET' && createChallenge !== undefined) {
      const challenge = createChallenge(commitmentIn(request), trail.address);
      if (challenge === undefined) {
        trail.reason = 'too-many-challenges';
        throw tooManyChallenges();
      }
      return sendJson(response, 200, { challenge } satisfies EnrolmentChallenge);
    }
    if (request.method !== 'POST') {
      const allow = createChallenge === undefined ? 'POST' : 'GET, POST';
      throw new RegistryError('UNSUPPORTED', `this path takes ${allow} only`, { headers: { allow } });
    }
    const refusal = (reason: AuditReason, who?: string) => {
      Object.assign(trail, { reason, who });
      return new RegistryError('DENIED', AUDIT_REASONS[reason], { status: 403 });
    };
    const { text, sha256 } = createAccessToken();
    const enrolling = await machineOf(await bodyOf(request), sha256);
    if ('kind' in enrolling) throw refusal(enrolling.reason, enrolling.who);
    const { user, login, name, edit } = enrolling;
    if (admin === undefined) throw refusal('unknown-enrolment');
    try {
      // Under the folder's lock, only one of two machines with the same secret enrols.
      await admin.change(user, edit);
    } catch (cause) {
      if (!(cause instanceof ConfigError)) throw cause;
      // Since they were read, another process may have removed the enrolment, or the account or type of the
      // instance.
      if (cause.code === 'missing') {
        throw refusal(edit.kind === 'add-token' ? 'no-machine-type' : 'unknown-enrolment', login);
      }
      if (cause.code === 'exists') throw refusal('enrolled-before', login);
      throw new RegistryError('UNAVAILABLE', cause.why, { cause, status: 503 });
    }
    await onChanged();
    audit({ decision: 'token given', ...trail, who: login, account: user, token: name });
    sendJson(response, 200, { login, token: text } satisfies EnrolledMachine);
  });
}
