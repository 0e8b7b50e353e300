import type { Log } from '../lib/log.ts';
import { formatRepository, type Repository } from '../oci/reference.ts';

/** One decision about one request. There is no field that a secret could stand in. */
export interface AuditEntry {
  readonly decision: 'admitted' | 'refused' | 'token given';
  /** Why it was refused. */
  readonly reason?: string | undefined;
  readonly who?: string | undefined;
  readonly account?: string | undefined;
  readonly repository?: Repository | undefined;
  /** Canonical, a comma between them. */
  readonly features?: readonly string[] | undefined;
  readonly address: string;
}

/** Every runtime's first request shows nothing, to be told what to show: no reason to look up. */
const HANDSHAKE = 'no credentials';

const EVENT = {
  admitted: 'access-admitted',
  refused: 'access-refused',
  'token given': 'token-issued',
} as const;

/** The audit trail: what was refused stands out from what was let in. */
export function createAudit(log: Log): (decision: AuditEntry) => void {
  return ({ decision, repository, features, ...rest }) => {
    log(
      decision === 'refused' && rest.reason !== HANDSHAKE ? 'notice' : 'info',
      EVENT[decision],
      `access ${decision}`,
      {
        ...rest,
        ...(repository === undefined ? {} : { repository: formatRepository(repository) }),
        ...(features === undefined ? {} : { features: features.join(',') }),
      },
    );
  };
}
