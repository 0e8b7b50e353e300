import type { HostProfile } from '../host/profile.ts';

/**
 * How a tag's answer suits the host. `fitted`: the chosen entry demands hardware that this host has. `generic`: the
 * chosen entry demands none, although others do. `unchanged`: the image has no entry for this host's platform that
 * demands hardware. `refused`: no entry runs here. `failed`: the registry could not answer.
 */
export type PullVerdict = 'fitted' | 'generic' | 'unchanged' | 'refused' | 'failed';

export const PULL_VERDICTS: readonly PullVerdict[] = ['fitted', 'generic', 'unchanged', 'refused', 'failed'];

/** One answer to a tag, as the status page shows it. */
export interface RecentDecision {
  readonly at: Date;
  /** `docker.io/library/alpine:latest`. */
  readonly image: string;
  readonly verdict: PullVerdict;
  /** The digest that was served, and the demands of the chosen entry (`cpu:broadwell`) when one was chosen. */
  readonly digest: string;
  readonly entry?: string | undefined;
  readonly reason: string;
  /** Notes: an accelerator that is not used. */
  readonly notes?: readonly string[];
}

/** How a registry has answered since the start. */
export interface RegistryHealth {
  /** `docker.io`. */
  readonly registry: string;
  readonly requests: number;
  readonly failures: number;
  /** The latest failure, when no request succeeded since. */
  readonly failing?: string | undefined;
  /** Of successful requests, in milliseconds. */
  readonly meanMs: number;
}

/** A kind of client, and when it last got a manifest or a blob. */
export interface RuntimeActivity {
  readonly runtime: string;
  readonly lastSuccess: Date;
}

export interface CacheUse {
  readonly usedBytes: number;
  readonly limitBytes: number;
  /** Why nothing new can be stored now: `the disk is full`. */
  readonly trouble?: string | undefined;
  /** Requests by result: `hit`, `coalesced`, `miss`, `bypass`, `stale`. */
  readonly results: Readonly<Record<string, number>>;
}

/** The result of the latest reload of settings. */
export interface ReloadResult {
  readonly at: Date;
  /** Why nothing changed; undefined when the settings took effect. */
  readonly refused?: string | undefined;
}

/** What the status pages show; collected anew for each page. */
export interface StatusFacts {
  readonly version: string;
  readonly startedAt: Date;
  /** The machine's host name. */
  readonly hostName?: string | undefined;
  /** What an operator should know and change: an open port, stored logins that everybody uses. */
  readonly warnings?: readonly string[];
  /** This host; undefined where each login has its own machine type. */
  readonly profile?: HostProfile | undefined;
  /** The path of the site's pages, which need a login; undefined: this mirror is no site's. */
  readonly sitePath?: string | undefined;
  /** Latest first. */
  readonly decisions: readonly RecentDecision[];
  readonly pulls?: Readonly<Record<PullVerdict, number>>;
  readonly cache?: CacheUse;
  readonly registries?: readonly RegistryHealth[];
  readonly reload?: ReloadResult | undefined;
  /**
   * The tags that clients recently requested to test whether they use this mirror: `metahub doctor` looks for its own.
   */
  readonly connectionTests?: readonly string[];
  /** Lines of "name: value" for people: `lists of images`, `3`. */
  readonly figures: readonly (readonly [name: string, value: string])[];
}

/** What the server itself adds. */
export interface PageFacts extends StatusFacts {
  /** Why the server takes no more requests: `stopping`. */
  readonly notReady?: string | undefined;
  readonly runtimes: readonly RuntimeActivity[];
}
