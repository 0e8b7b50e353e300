import type { Feature } from '../host/feature.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Demand } from './demand.ts';
import { tableOf } from './table.ts';

/**
 * Where a derived index keeps the variant that it took off the winner's platform, so that a second MetaHub, or the
 * same one again, still knows what the entry demands.
 */
export const VARIANT_ANNOTATION = 'io.metahub.platform.variant';

/** GOARCH names for what `uname -m` and some authors write. */
const ARCHITECTURE_ALIAS = tableOf({
  x86_64: 'amd64',
  'x86-64': 'amd64',
  aarch64: 'arm64',
  loongarch64: 'loong64',
});

/** An architecture in OCI's spelling. */
export function canonicalArchitecture(architecture: string): string {
  return ARCHITECTURE_ALIAS.get(architecture) ?? architecture;
}

function featureOf(architecture: string, variant: string): Feature | undefined {
  const [, number] = /^v(\d+(?:\.\d+)?)$/.exec(variant) ?? [];
  switch (architecture) {
    case 'amd64':
      return { kind: 'level', value: `x86-64-${variant}` };
    case 'arm64':
      if (variant === 'v8' || variant === 'v8.0' || variant === '8') return undefined;
      return { kind: 'level', value: `arm64-${number?.includes('.') === false ? `${variant}.0` : variant}` };
    case 'arm':
    case 'riscv64':
      return { kind: 'variant', value: variant };
    case 'ppc64le':
      return { kind: 'cpu', value: /^power\d+$/.test(variant) ? `${variant}le` : variant };
    default:
      return { kind: 'cpu', value: variant };
  }
}

/**
 * What `platform.variant` demands: a level of amd64 or arm64, a profile of riscv64, a processor of ppc64le. `v8` is
 * every arm64 host and demands nothing.
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.1/image-index.md#platform-variants
 */
export function variantDemand({ platform, annotations }: Descriptor): readonly Demand[] {
  if (platform === undefined) return [];
  const moved = annotations[VARIANT_ANNOTATION];
  const variant = platform.variant ?? moved;
  if (variant === undefined) return [];
  const feature = featureOf(canonicalArchitecture(platform.architecture), variant);
  if (feature === undefined) return [];
  const source = platform.variant === undefined ? `annotations.${VARIANT_ANNOTATION}` : 'platform.variant';
  return [{ key: feature.kind, anyOf: [feature], source }];
}
