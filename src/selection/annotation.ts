import type { Feature } from '../host/feature.ts';
import { FEATURES_ANNOTATION } from '../oci/assemble.ts';
import { type Demand, demandsOf } from './demand.ts';
import { tableOf } from './table.ts';

/**
 * Annotations of entries that say what hardware or software the image needs -> the features each value demands.
 * An empty list means that the value demands nothing. Annotations that are not listed here are ignored.
 */
const READERS = tableOf<(value: string) => readonly Feature[]>({
  // https://github.com/supercontainers (container annotations of the HPC containers working group)
  'org.supercontainers.hardware.cpu.target.microarch': microarchitecture,
  'org.supercontainers.gpu': gpuInterface,
  'org.supercontainers.mpi': (value) => named('mpi', value),
  'org.supercontainers.mpi.implementation': (value) => named('mpi', value),
  'org.supercontainers.glibc': (value) => named('glibc', value),
  'org.supercontainers.libc.glibc.version': (value) => named('glibc', value),
  // https://archspec.readthedocs.io
  'io.archspec.cpu.target': microarchitecture,
  // https://github.com/Homebrew/brew, bottles in a registry
  'sh.brew.bottle.cpu.variant': microarchitecture,
  'sh.brew.bottle.glibc.version': (value) => named('glibc', value),
});

/** Names that mean no microarchitecture in particular, and Homebrew's own names. */
const MICROARCHITECTURE_NAME = tableOf({
  amd64: 'x86_64',
  arm64: 'aarch64',
  armv8: 'aarch64',
  arm_vortex_tempest: 'm1',
});

function microarchitecture(value: string): readonly Feature[] {
  const name = value.trim();
  return isUnsaid(name) ? [] : [{ kind: 'cpu', value: MICROARCHITECTURE_NAME.get(name) ?? name }];
}

function named(kind: string, value: string): readonly Feature[] {
  const name = value.trim();
  return isUnsaid(name) ? [] : [{ kind, value: name }];
}

/** `cuda`, `rocm`, `opencl`: some GPU that offers this interface. */
function gpuInterface(value: string): readonly Feature[] {
  return value.split(/[\s,]+/).flatMap((name) => named('gpu', name));
}

function isUnsaid(value: string): boolean {
  return value === '' || value === 'unknown' || value === 'none' || value === 'generic';
}

/** White space or a comma ends a feature, unless the comma goes on with a comparison, as in `kernel:>=5.10,<6`. */
function featureList(value: string): readonly string[] {
  return value.split(/\s+|,(?![<>=!])/).filter((word) => word !== '');
}

/** What an entry's annotations demand. */
export function annotationDemands(annotations: Readonly<Record<string, string>>): readonly Demand[] {
  const demands: Demand[] = [];
  for (const name in annotations) {
    const value = annotations[name] ?? '';
    if (name === FEATURES_ANNOTATION) {
      const listed = demandsOf(featureList(value), `annotations.${FEATURES_ANNOTATION}`);
      for (const demand of listed) demands.push(demand);
      continue;
    }
    const anyOf = READERS.get(name)?.(value);
    const [first] = anyOf ?? [];
    if (anyOf !== undefined && first !== undefined) {
      demands.push({ key: first.kind, anyOf, source: `annotations.${name}` });
    }
  }
  return demands;
}
