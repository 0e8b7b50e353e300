import type { CloudRule } from './cloud-rules.ts';

/** A cloud instance, as its signed identity document describes it. */
export interface CloudInstance {
  readonly cloud: CloudRule['cloud'];
  readonly id: string;
  /** AWS account number, Azure subscription, or GCP project. */
  readonly owner: string;
  readonly region: string;
  /** AWS instance type, Azure VM ID, or GCP instance name: selects the machine type. */
  readonly kind: string;
  /**
   * Milliseconds of the wall clock: the launch (AWS), or the time when the document (Azure) or token (GCP)
   * was issued.
   */
  readonly sinceMs: number;
}

/** The values that the documents of every cloud are checked against. */
export interface IdentityContext {
  /** URL of this site. A document with an audience or a nonce must be made for it. */
  readonly audience: string;
  /** Milliseconds of the wall clock. */
  readonly nowMs: number;
}

/** Maximum difference between the clocks of a cloud and of the site, in milliseconds. */
export const CLOCK_TOLERANCE_MS = 30_000;
