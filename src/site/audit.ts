import type { Log, LogFields } from '../lib/log.ts';
import { formatRepository, type Repository } from '../oci/reference.ts';

/** One decision about one request. It has no field that could contain a secret. */
export interface AuditEntry {
  readonly decision: 'admitted' | 'refused' | 'token given';
  /** Why it was refused, or what else than pulling it was about. */
  readonly reason?: string | undefined;
  /** The user name. */
  readonly who?: string | undefined;
  readonly account?: string | undefined;
  /** The name of the access token that was presented instead of a password. */
  readonly token?: string | undefined;
  readonly repository?: Repository | undefined;
  readonly features?: readonly string[] | undefined;
  /** Absent: it pulls. */
  readonly action?: 'push' | undefined;
  readonly address: string;
}

export type Audit = (entry: AuditEntry) => void;

/** The first request of every runtime has no credentials, to learn how to log in: nothing to notice. */
const HANDSHAKE = 'no credentials';

const EVENT = {
  admitted: 'access-admitted',
  refused: 'access-refused',
  'token given': 'token-issued',
} as const;

/** Equal admissions within this time are counted in one line. */
const WINDOW_MS = 10_000;
/** Different admissions whose repetitions are counted at once. */
const COUNTED_MAX = 10_000;

function fieldsOf({ decision: _, repository, features, ...rest }: AuditEntry): LogFields {
  return {
    ...rest,
    ...(repository === undefined ? {} : { repository: formatRepository(repository) }),
    ...(features === undefined ? {} : { features: features.join(',') }),
  };
}

/** Equal for admissions of one login, from one address, to one repository. */
function keyOf({ who, token, address, repository, reason, action }: AuditEntry): string {
  return `${who} ${token} ${address} ${repository?.host}/${repository?.name} ${reason} ${action}`;
}

/**
 * The audit trail: one line a decision, refusals more prominent than admissions. A pull is a dozen requests: the first one
 * is logged at once, those of the next seconds that are admitted alike in one line with their number, `repeats`.
 */
export function createAudit(log: Log): Audit {
  const counted = new Map<string, { readonly entry: AuditEntry; repeats: number }>();
  let timer: NodeJS.Timeout | undefined;

  function write(entry: AuditEntry, repeats = 0): void {
    const { decision, reason } = entry;
    const level = decision === 'refused' && reason !== HANDSHAKE ? 'notice' : 'info';
    const fields = fieldsOf(entry);
    log(level, EVENT[decision], `access ${decision}`, repeats === 0 ? fields : { ...fields, repeats });
  }

  function writeRepeats(): void {
    clearTimeout(timer);
    timer = undefined;
    for (const { entry, repeats } of counted.values()) if (repeats > 0) write(entry, repeats);
    counted.clear();
  }

  return (entry) => {
    if (entry.decision !== 'admitted') return write(entry);
    const key = keyOf(entry);
    const before = counted.get(key);
    if (before !== undefined) {
      before.repeats += 1;
      return;
    }
    if (counted.size >= COUNTED_MAX) writeRepeats();
    timer ??= setTimeout(writeRepeats, WINDOW_MS).unref();
    counted.set(key, { entry, repeats: 0 });
    write(entry);
  };
}
