import type { HostProfile } from '../host/profile.ts';

/**
 * How a tag's answer suits the host. `fitted`: the chosen entry demands hardware that this host has. `generic`: the
 * chosen entry demands none, although others do. `unchanged`: no entry for this host's platform demands hardware.
 * `refused`: no entry runs here. `failed`: the registry did not answer.
 */
export type PullVerdict = 'fitted' | 'generic' | 'unchanged' | 'refused' | 'failed';

export const PULL_VERDICTS: readonly PullVerdict[] = ['fitted', 'generic', 'unchanged', 'refused', 'failed'];

/** The answer to a request by tag, as the status page shows it. */
export interface RecentDecision {
  readonly at: Date;
  /** `docker.io/library/alpine:latest`. */
  readonly image: string;
  readonly verdict: PullVerdict;
  /** The digest that was served, and the demands of the chosen entry (`cpu:broadwell`), if any. */
  readonly digest: string;
  readonly entry?: string | undefined;
  readonly reason: string;
  /** Notes on the choice, such as an accelerator that is not used. */
  readonly notes?: readonly string[];
}

/** How a registry has answered since the server started. */
export interface RegistryHealth {
  /** `docker.io`. */
  readonly registry: string;
  readonly requests: number;
  readonly failures: number;
  /** The last failure, unless a request succeeded after it. */
  readonly failing?: string | undefined;
  /** The mean time of successful requests, in milliseconds. */
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
  /** Why nothing can be stored now: `the disk is full`. */
  readonly trouble?: string | undefined;
  /** Requests by result: `hit`, `coalesced`, `miss`, `bypass`, `stale`. */
  readonly results: Readonly<Record<string, number>>;
}

/** The result of the last reload of the settings. */
export interface ReloadResult {
  readonly at: Date;
  /** Why the old settings still apply; undefined when the new ones took effect. */
  readonly refused?: string | undefined;
}

/** What the status pages show. Collected for each page. */
export interface StatusFacts {
  readonly version: string;
  readonly startedAt: Date;
  /** The machine's host name. */
  readonly hostName?: string | undefined;
  /** What an operator should change: an open port, stored logins that all clients use. */
  readonly warnings?: readonly string[];
  /** This host's profile; undefined on a site, where each login has its own machine type. */
  readonly profile?: HostProfile | undefined;
  /** The path of the site's pages, which need a login; undefined when this mirror is not a site's. */
  readonly sitePath?: string | undefined;
  /** The latest first. */
  readonly decisions: readonly RecentDecision[];
  readonly pulls?: Readonly<Record<PullVerdict, number>>;
  readonly cache?: CacheUse;
  readonly registries?: readonly RegistryHealth[];
  readonly reload?: ReloadResult | undefined;
  /** The tags that clients recently requested to test their connection. `metahub doctor` looks for its own. */
  readonly connectionTests?: readonly string[];
  /** Names and values as text: `lists of images`, `3`. */
  readonly figures: readonly (readonly [name: string, value: string])[];
}

/** What the server itself adds to the facts. */
export interface PageFacts extends StatusFacts {
  /** Why the server accepts no requests: `stopping`. */
  readonly notReady?: string | undefined;
  readonly runtimes: readonly RuntimeActivity[];
}
