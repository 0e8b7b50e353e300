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
  /** Milliseconds of the wall clock: the launch (AWS), or the issue of the document (Azure) or token (GCP). */
  readonly sinceMs: number;
}

/** What every cloud's documents are checked against. */
export interface IdentityContext {
  /** URL of this site: what documents with an audience or a nonce must be made for. */
  readonly audience: string;
  /** Milliseconds of the wall clock. */
  readonly nowMs: number;
}

/** Clocks of clouds and sites may differ by this much. */
export const CLOCK_TOLERANCE_MS = 30_000;
