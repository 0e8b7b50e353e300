import { parseFeature } from '../../../host/features.ts';
import type { HostProfile } from '../../../host/profile.ts';
import { NFD_NAMESPACE } from '../../../probe/local-features.ts';

/** What a Kubernetes label's name and value may look like; the name's prefix is apart. */
const LABEL = /^(?=.{1,63}$)[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?$/;

/**
 * The profile as node-feature-discovery's feature file: `kind=value` for the best of each kind and `kind.value=true` for
 * everything the host runs, so that a node selector can ask for an ancestor. Labels of others are left to them.
 * @see https://kubernetes-sigs.github.io/node-feature-discovery/stable/usage/customization-guide.html#local-feature-source
 */
export function renderNfd(profile: HostProfile): string {
  const labels = new Map<string, string>();
  const add = (name: string, value: string): void => {
    if (LABEL.test(name) && LABEL.test(value) && !labels.has(name)) labels.set(name, value);
  };
  for (const text of profile.features) {
    const feature = parseFeature(text);
    if (feature === undefined) continue;
    add(feature.kind, feature.value);
    add(`${feature.kind}.${feature.value}`, 'true');
  }
  for (const name of profile.cpu.compatible) add(`cpu.${name}`, 'true');
  for (const level of lowerLevels(profile.platform.variant)) add(`level.${level}`, 'true');
  return [...labels].map(([name, value]) => `${NFD_NAMESPACE}${name}=${value}\n`).join('');
}

function lowerLevels(variant: string | undefined): readonly string[] {
  const greatest = Number(/^v([1-4])$/.exec(variant ?? '')?.[1] ?? 0);
  return Array.from({ length: greatest }, (_, at) => `x86-64-v${greatest - at}`);
}
