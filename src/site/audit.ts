import type { Log, LogFields } from '../lib/log.ts';
import { truncateText } from '../lib/text.ts';
import { formatRepository, type Repository } from '../oci/reference.ts';
import { RefusalQuota } from './refusal-quota.ts';

/** Why MetaHub refuses a request: a stable code, and its meaning. */
export const AUDIT_REASONS = {
  'no-credentials': 'the request has no credentials',
  'malformed-credentials': 'the Authorization header is neither Basic nor Bearer',
  'wrong-credentials': 'there is no such login, or the password is wrong',
  'unknown-machine': 'the user name describes no machine',
  'expired-access-token': 'the access token has expired',
  'expired-token': 'the bearer token has expired',
  'invalid-token': 'the bearer token is not of this site, or its login has changed',
  'too-many-failures': 'too many logins have failed',
  'not-allowed': 'the login may not use this repository',
  'other-scope': 'the bearer token is for another repository',
  'not-an-account': 'the login is not the account itself',
  'no-login-begun': 'no login was begun in this browser',
  'other-state': 'the state is that of another login',
  'login-used': 'the login was used already',
  'no-valid-login': 'there is no valid login at the provider',
  'no-rule': 'there is no rule for this person',
  'no-account': 'the person has no account',
  'account-of-another': 'the account belongs to somebody else',
  'not-writable': 'the account cannot be written',
  'cross-site': 'the request comes from a page of another site',
  'unknown-enrolment': 'the enrolment is unknown or was used',
  'expired-enrolment': 'the enrolment has expired',
  'no-cloud-enrolment': 'enrolment by a cloud is off',
  'unsigned-identity': 'no cloud has signed the identity',
  'other-account-or-region': 'the instance is of another account or region',
  'no-machine-type': 'there is no machine type for this instance',
  'old-identity': 'the identity of the instance is too old',
  'enrolled-before': 'the instance has enrolled before',
  'too-many-challenges': 'too many challenges were asked for',
  'no-resource': 'there is no such resource',
  'method-not-allowed': 'the resource does not take this method',
  'invalid-query': 'the query is malformed',
  'invalid-json': 'the body is not JSON',
  'invalid-body': 'the body has another form',
  'media-type': 'the body is of another media type',
  'too-large': 'the body is too large',
  exists: 'there is another one of that name',
  'in-use': 'something else still needs it',
  conflict: 'something that the change depends on has changed',
  limit: 'a limit is reached',
  'if-match-required': 'the edit does not say what it changes',
  changed: 'another edit came first',
  busy: 'another change is under way',
  'read-only': 'nothing can be changed here',
  unreadable: 'the machine files cannot be read',
  internal: 'MetaHub or what it asked has failed',
} as const;

export type AuditReason = keyof typeof AUDIT_REASONS;

/** The facts about a request, without the decision. */
interface AuditSubject {
  /**
   * What the request does outside the registry API: `login`, `enrol`, or the id of an operation of the
   * management API.
   */
  readonly operation?: string | undefined;
  /** The user name. */
  readonly who?: string | undefined;
  readonly account?: string | undefined;
  /** The name of the access token that the client presented instead of a password. */
  readonly token?: string | undefined;
  readonly repository?: Repository | undefined;
  readonly features?: readonly string[] | undefined;
  /**
   * The path of the resource outside the registry API that the request reads or changes:
   * `/api/v1/accounts/qnib`.
   */
  readonly resource?: string | undefined;
  /** Absent: the request pulls. */
  readonly action?: 'push' | undefined;
  readonly address: string;
}

/** The facts known about a request so far. `reason` is set where it is more exact than the error's own. */
export type Trail = { -readonly [Key in keyof AuditSubject]: AuditSubject[Key] } & {
  reason?: AuditReason | undefined;
};

/** One decision about one request. No field can contain a secret. */
export type AuditEntry = AuditSubject &
  (
    | { readonly decision: 'admitted' | 'token given' | 'changed' }
    | { readonly decision: 'refused'; readonly reason: AuditReason }
  );

export type Audit = (entry: AuditEntry) => void;

/**
 * The first request of every runtime has no credentials, because it asks for the challenge. Its refusal is
 * not notable.
 */
const HANDSHAKE: AuditReason = 'no-credentials';

const EVENT = {
  admitted: 'access-admitted',
  refused: 'access-refused',
  'token given': 'token-issued',
  changed: 'site-changed',
} as const;

/** Within this time, the audit trail counts equal admissions, and refusals beyond their quota, in one line. */
const WINDOW_MS = 10_000;
/** Maximum number of different admissions that the audit trail counts at the same time. */
const COUNTED_MAX = 10_000;

function fieldsOf({ decision: _, repository, features, resource, ...rest }: AuditEntry): LogFields {
  return {
    ...rest,
    ...(resource === undefined ? {} : { resource: truncateText(resource) }),
    ...(repository === undefined ? {} : { repository: formatRepository(repository) }),
    ...(features === undefined ? {} : { features: features.join(',') }),
  };
}

/** Returns the same key for all admissions of one login, from one address, to one repository or resource. */
function keyOf({ who, token, address, repository, resource, operation, action }: AuditEntry): string {
  return `${who} ${token} ${address} ${repository?.host}/${repository?.name} ${resource} ${operation} ${action}`;
}

/**
 * Creates the audit trail: one log line for each decision, refusals at a higher level than admissions. A pull
 * makes a dozen requests, so the trail logs the first one at once, and then counts equal ones for {@link
 * WINDOW_MS} and logs them as one line with `repeats`. Refusals beyond their {@link RefusalQuota} are counted
 * in the same way.
 */
export function createAudit(log: Log): Audit {
  // The gate passes the same object for a repeated admission, so its key is computed once.
  const keys = new WeakMap<AuditEntry, string>();
  const counted = new Map<string, { readonly entry: AuditEntry; repeats: number }>();
  const refusals = new RefusalQuota<AuditReason>();
  let isCounting = false;

  function writeRefusal(reason: AuditReason, fields: LogFields): void {
    const level = reason === HANDSHAKE ? 'info' : 'notice';
    log(level, EVENT.refused, `access refused: ${AUDIT_REASONS[reason]}`, fields);
  }

  function write(entry: AuditEntry, repeats = 0): void {
    const { decision } = entry;
    const fields = { ...fieldsOf(entry), ...(repeats > 0 && { repeats }) };
    if (decision === 'refused') writeRefusal(entry.reason, fields);
    else if (decision === 'changed') log('notice', EVENT.changed, 'site changed', fields);
    else log('info', EVENT[decision], `access ${decision}`, fields);
  }

  function writeAdmissions(): void {
    for (const { entry, repeats } of counted.values()) if (repeats > 0) write(entry, repeats);
    counted.clear();
  }

  function endWindow(): void {
    isCounting = false;
    writeAdmissions();
    for (const { reason, address, repeats } of refusals.drain())
      writeRefusal(reason, { reason, ...(address !== undefined && { address }), repeats });
  }

  return (entry) => {
    if (entry.decision === 'token given' || entry.decision === 'changed') return write(entry);
    if (!isCounting) setTimeout(endWindow, WINDOW_MS).unref();
    isCounting = true;
    if (entry.decision === 'refused') {
      if (refusals.take(entry.reason, entry.address)) write(entry);
      return;
    }
    let key = keys.get(entry);
    if (key === undefined) {
      key = keyOf(entry);
      keys.set(entry, key);
    }
    const before = counted.get(key);
    if (before !== undefined) {
      before.repeats += 1;
      return;
    }
    if (counted.size >= COUNTED_MAX) writeAdmissions();
    counted.set(key, { entry, repeats: 0 });
    write(entry);
  };
}
