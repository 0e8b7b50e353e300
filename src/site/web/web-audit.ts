import { auditReasonOf } from '../api/api-problem.ts';
import type { Audit, Trail } from '../audit.ts';

/** The audit trail of the pages. It writes a refusal once: where most is known about the request. */
export class WebAudit {
  readonly write: Audit;
  readonly #written = new WeakSet<object>();

  constructor(audit: Audit) {
    this.write = audit;
  }

  /** Writes why the request was refused, unless this error has been written before. */
  refuse(error: unknown, trail: Trail): void {
    const key = Object(error);
    if (this.#written.has(key)) return;
    this.#written.add(key);
    this.write({ decision: 'refused', ...trail, reason: trail.reason ?? auditReasonOf(error) });
  }
}
