import type { HostProfile } from '../host/profile.ts';

/** One answer to a tag, as the status page shows it. */
export interface RecentDecision {
  readonly at: Date;
  /** `docker.io/library/alpine:latest`. */
  readonly image: string;
  /** What was served: its digest, and what the chosen entry demands (`cpu:broadwell`) when one was chosen. */
  readonly digest: string;
  readonly entry?: string | undefined;
  readonly reason: string;
  /** Whose request it was, where there are logins. */
  readonly who?: string | undefined;
}

/** What the status pages tell; gathered anew for each of them. */
export interface StatusFacts {
  readonly version: string;
  readonly startedAt: Date;
  /** Why nothing can be served now; undefined when all is well. */
  readonly notReady?: string | undefined;
  /** This host; undefined where each login brings its own machine type. */
  readonly profile?: HostProfile | undefined;
  /** Latest first. */
  readonly decisions: readonly RecentDecision[];
  /** Lines of "name: value" for people: `cache hits`, `93 % of 1,204`. */
  readonly figures: readonly (readonly [name: string, value: string])[];
}
