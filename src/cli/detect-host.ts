import { readdirSync } from 'node:fs';
import { canonicalArchitecture, KNOWN_ARCHITECTURES } from '../host/architecture.ts';
import { NOTHING, withFeatures } from '../host/assumed-features.ts';
import { effectiveCpu } from '../host/effective-flags.ts';
import type { HostFacts } from '../host/facts.ts';
import { parseFeature } from '../host/features.ts';
import { identify } from '../host/identify.ts';
import { deriveProfile, type HostProfile } from '../host/profile.ts';
import { probeHost } from '../probe/host.ts';
import { problemWithFeature } from '../selection/check-feature.ts';
import { UserError } from './user-error.ts';

export interface HostOptions {
  /** `/`, or a directory with the files of another machine. */
  readonly root?: string | undefined;
  /** The architecture in any spelling. Default: that of this program. */
  readonly arch?: string | undefined;
  /** Features that replace detected ones. */
  readonly set?: readonly string[] | undefined;
  readonly strictArchspec?: boolean | undefined;
  readonly cloud?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface DetectedHost {
  readonly facts: HostFacts;
  /** What was detected. */
  readonly detected: HostProfile;
  /** The profile with assumed features. Parts that no assumption changes are the same objects as in `detected`. */
  readonly profile: HostProfile;
  /** True when a probe failed, so that the answer is incomplete. */
  readonly failed: boolean;
}

/**
 * Probes a host and derives its profile, with assumed features.
 * @throws {UserError} status 1 for an unreadable root, 2 for an unknown architecture or feature.
 */
export async function detectHost(options: HostOptions = {}): Promise<DetectedHost> {
  const { root = '/', set = [], strictArchspec, cloud, signal } = options;
  const architecture = options.arch === undefined ? undefined : architectureNamed(options.arch);
  if (root !== '/') demandDirectory(root);
  const probe = await probeHost({ root, architecture, cloud, now: () => new Date(), signal });
  const detected = deriveProfile(probe.facts, { strictArchspec, warnings: probe.warnings });
  const profile = assumed(detected, set);
  const warnings = set.some(namesCpu) ? withoutJudgement(profile.warnings, probe.facts) : profile.warnings;
  return { facts: probe.facts, detected, profile: { ...profile, warnings }, failed: probe.failed };
}

function namesCpu(feature: string): boolean {
  return ['cpu', 'level'].includes(parseFeature(feature)?.kind ?? '');
}

/** Removes warnings about flags that this machine's CPU lacks: they are not about the assumed CPU. */
function withoutJudgement(warnings: readonly string[], facts: HostFacts): readonly string[] {
  const ofThisCpu = identify(effectiveCpu(facts), facts.architecture).warnings;
  return warnings.filter((warning) => !ofThisCpu.includes(warning));
}

function architectureNamed(written: string): string {
  const architecture = canonicalArchitecture(written);
  if (architecture !== undefined) return architecture;
  throw new UserError(`there is no architecture “${written}”`, {
    nextStep: `Known are ${KNOWN_ARCHITECTURES.join(', ')}, and what uname -m says of them.`,
    exitStatus: 2,
  });
}

/** Returns the profile with assumed features. @throws {UserError} status 2 */
export function assumed(profile: HostProfile, set: readonly string[]): HostProfile {
  if (set.length === 0) return profile;
  try {
    for (const feature of set.filter((text) => !text.endsWith(`:${NOTHING}`))) {
      const problem = problemWithFeature(feature);
      if (problem !== undefined) throw new Error(problem);
    }
    return withFeatures(profile, set);
  } catch (cause) {
    throw new UserError(`--set: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
      nextStep:
        'Features look like cpu:zen4, x86-64-v3, nvcap:9.0 or fabric:ib; metahub detect --features lists this host’s.',
      exitStatus: 2,
    });
  }
}

const ROOT_PROBLEMS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such directory',
  ENOTDIR: 'that is not a directory',
  EACCES: 'this user may not read it',
};

function demandDirectory(root: string): void {
  try {
    readdirSync(root);
  } catch (cause) {
    const problem = ROOT_PROBLEMS[(cause as NodeJS.ErrnoException).code ?? ''] ?? 'it cannot be read';
    throw new UserError(`--root ${root}: ${problem}`, {
      cause,
      nextStep: 'Name a directory that holds a copy of the host’s proc, sys and etc.',
    });
  }
}
