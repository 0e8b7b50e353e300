import { LRUCache } from 'lru-cache';
import type { Provenance } from '../oci/content-store.ts';
import type { Digest } from '../oci/digest.ts';
import type { SourceHost } from '../oci/reference.ts';
import { type Access, hasOwnLogin } from '../oci/registry.ts';

import { type ContentRecord, partitionKey } from './metadata.ts';

/** For how long a registry's word that a login may see a content counts, in milliseconds: as long as most tokens live. */
export const GRANT_MAX_AGE_MS = 5 * 60_000;
const GRANTS_MAX = 200_000;
const REVOCATIONS_MAX = 100_000;

interface Grant {
  /** The registry that gave it. */
  readonly host: SourceHost;
  readonly grantedMs: number;
}

/**
 * Who may see what is stored. For accesses that use the mirror's own logins the content's record says it, for good. A
 * login of the client's own counts for {@link GRANT_MAX_AGE_MS}, in memory only: the registry can revoke it, and nothing
 * made from it is written to disk.
 */
export class Visibility {
  readonly #now: () => number;
  readonly #grants = new LRUCache<string, Grant>({ maxSize: GRANTS_MAX, sizeCalculation: () => 1 });
  /** When a registry last refused a partition, in wall-clock milliseconds. */
  readonly #revoked = new LRUCache<string, number>({ maxSize: REVOCATIONS_MAX, sizeCalculation: () => 1 });

  constructor(now: () => number) {
    this.#now = now;
  }

  /** @param record of the content; undefined when it is not on disk. */
  includes(digest: Digest, record: Pick<ContentRecord, 'partitions'>, access: Access | undefined): boolean {
    const partition = partitionKey(access);
    if (!hasOwnLogin(access)) return record.partitions.includes(partition);
    const grant = this.#grants.get(`${partition} ${digest}`);
    if (!grant) return false;
    const ageMs = this.#now() - grant.grantedMs;
    // A clock that was set back must not make a grant last.
    if (ageMs < 0 || ageMs >= GRANT_MAX_AGE_MS) return false;
    return (this.#revoked.get(`${partition} ${grant.host}`) ?? Number.NEGATIVE_INFINITY) < grant.grantedMs;
  }

  /** The repository's registry has let this login see the content. */
  grant(digest: Digest, { repository, access }: Provenance): void {
    if (!hasOwnLogin(access)) return;
    const grant = { host: repository.host, grantedMs: this.#now() };
    this.#grants.set(`${partitionKey(access)} ${digest}`, grant);
  }

  /** The repository's registry has refused this login: what it granted before counts no more. */
  revoke({ repository, access }: Provenance): void {
    if (hasOwnLogin(access)) this.#revoked.set(`${partitionKey(access)} ${repository.host}`, this.#now());
  }
}
