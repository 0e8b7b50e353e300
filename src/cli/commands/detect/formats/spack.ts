import { parseFeature } from '../../../../host/features.ts';
import type { DetectedHost } from '../../../detect-host.ts';

/** Distributions whose minor releases Spack does not tell apart. Source: spack's linux_distro.py (facts only). */
const MAJOR_ONLY: ReadonlySet<string> = new Set([
  'centos',
  'almalinux',
  'rocky',
  'rhel',
  'ol',
  'debian',
  'amzn',
  'sles',
]);

function osOf({ osId, osVersion }: DetectedHost['facts']['system']): string | undefined {
  if (osId === undefined) return undefined;
  const version = MAJOR_ONLY.has(osId) ? osVersion?.split('.', 1)[0] : osVersion;
  return `${osId}${version ?? ''}`;
}

/** The constraints of a spec for this host: its architecture, and the GPUs' variants. */
export function renderSpack({ profile, facts }: DetectedHost): string {
  const { cpu, platform } = profile;
  const values = (kind: string) =>
    profile.features
      .map(parseFeature)
      .filter((feature) => feature?.kind === kind)
      .map((feature) => feature?.value ?? '');
  const os = osOf(facts.system);
  const target = cpu.microarchitecture;
  const arch = os === undefined ? `target=${target}` : `arch=${platform.os}-${os}-${target}`;
  const cuda = values('nvcap').map((capability) => capability.replace('.', ''));
  const amd = values('gfx');
  const parts = [
    arch,
    ...(cuda.length === 0 ? [] : [`+cuda cuda_arch=${cuda.join(',')}`]),
    ...(amd.length === 0
      ? []
      : [`+rocm amdgpu_target=${amd.map((one) => one.replace(/:.*/, '')).join(',')}`]),
  ];
  return `${parts.join(' ')}\n`;
}
