import { compileGlob } from '../../oci/glob.ts';
import type { AuditReason } from '../audit.ts';
import { awsInstance } from './aws-identity.ts';
import { type AzureContext, azureInstance } from './azure-identity.ts';
import { CLOCK_TOLERANCE_MS, type CloudInstance } from './cloud-instance.ts';
import { readCloudKeys } from './cloud-keys.ts';
import type { CloudRule, PresentedIdentity } from './cloud-rules.ts';
import { gcpInstance } from './gcp-identity.ts';

/** The account, the machine type and the token's name of an enrolling instance. */
export interface CloudMachine {
  readonly account: string;
  readonly type: string;
  /** The name of its token. It is unique for each instance, so that an instance enrols once. */
  readonly name: string;
}

export type CloudVerdict =
  | { readonly kind: 'known'; readonly machine: CloudMachine }
  | { readonly kind: 'refused'; readonly reason: AuditReason };

const refused = (reason: AuditReason): CloudVerdict => ({ kind: 'refused', reason });

function machineOf(instance: CloudInstance, rules: readonly CloudRule[], nowMs: number): CloudVerdict {
  const { cloud, id, owner, region, kind, sinceMs } = instance;
  const own = rules.filter(
    (rule) =>
      rule.cloud === cloud &&
      rule.accounts.some((one) => one.toLowerCase() === owner.toLowerCase()) &&
      (rule.regions?.includes(region) ?? true),
  );
  if (own.length === 0) return refused('other-account-or-region');
  for (const { maxAge, account, types } of own) {
    const type = [...types].find(([pattern]) => compileGlob(pattern)(kind))?.[1];
    if (type === undefined) continue;
    const isFresh = nowMs - sinceMs <= maxAge && sinceMs - nowMs <= CLOCK_TOLERANCE_MS;
    if (!isFresh) return refused('old-identity');
    return { kind: 'known', machine: { account, type, name: `${cloud}-${id}` } };
  }
  return refused('no-machine-type');
}

export interface CloudCheckOptions {
  /** URL of this site. */
  readonly audience: string;
  /** Returns when this site made the challenge for this secret; undefined: it did not, or too long ago. */
  readonly challengedMs: AzureContext['challengedMs'];
  readonly wallClock: () => number;
}

/** Creates the check of instances' identities. It uses the clouds' public keys and no network. */
export function createCloudCheck(
  rules: readonly CloudRule[],
  { audience, challengedMs, wallClock }: CloudCheckOptions,
) {
  function instanceOf(presented: PresentedIdentity, keys: string) {
    const context = { audience, challengedMs, nowMs: wallClock() };
    if ('aws' in presented) return awsInstance(presented.aws, keys);
    if ('azure' in presented) return azureInstance(presented.azure, keys, context);
    return gcpInstance(presented.gcp, keys, context);
  }

  return async (presented: PresentedIdentity): Promise<CloudVerdict> => {
    const files = new Map(
      rules.filter(({ cloud }) => cloud in presented).map((rule) => [rule.keys, rule] as const),
    );
    let refusal = refused('unsigned-identity');
    for (const [file, named] of files) {
      const instance = await instanceOf(presented, await readCloudKeys(named));
      if (instance === undefined) continue;
      // Several key files may contain the key that signed, so the rules of each are tried.
      const signers = rules.filter((rule) => rule.keys === file);
      const verdict = machineOf(instance, signers, wallClock());
      if (verdict.kind === 'known') return verdict;
      refusal = verdict;
    }
    return refusal;
  };
}
