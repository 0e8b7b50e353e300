import { parseFeature } from '../../../../host/features.ts';
import type { HostProfile } from '../../../../host/profile.ts';
import { compareVersions, parseVersion } from '../../../../lib/version.ts';

/**
 * The variables by which conda, mamba and pixi solve as if on this host.
 * @see https://conda.org/learn/ceps/cep-0030/ (`__cuda_arch`: https://conda.org/learn/ceps/cep-0046/)
 */
export function renderConda(profile: HostProfile): string {
  const values = (kind: string) =>
    profile.features
      .map(parseFeature)
      .filter((feature) => feature?.kind === kind)
      .map((feature) => feature?.value ?? '');
  // Of several GPUs the least capable counts.
  const capabilities = values('nvcap').sort((a, b) =>
    compareVersions(parseVersion(a) ?? [], parseVersion(b) ?? []),
  );
  const variables: readonly (readonly [name: string, value: string | undefined])[] = [
    ['ARCHSPEC', profile.cpu.microarchitecture],
    ['CUDA', values('cuda')[0]],
    ['CUDA_ARCH', capabilities[0]],
    ['GLIBC', values('glibc')[0]],
    ['LINUX', profile.platform.os === 'linux' ? values('kernel')[0] : undefined],
  ];
  return variables
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `export CONDA_OVERRIDE_${name}=${value}\n`)
    .join('');
}
