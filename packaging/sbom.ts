import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bundledPackages } from '../scripts/notices.ts';
import { NODE_VERSION } from './node-binary.ts';
import { MANIFEST, RELEASE, ROOT, run } from './project.ts';

interface Component {
  readonly type: string;
  readonly name: string;
  readonly group?: string;
  readonly version: string;
  readonly 'bom-ref': string;
}

interface Bom {
  readonly metadata: { readonly component: Component };
  readonly components: readonly Component[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
}

const nameOf = ({ group, name }: Component) => (group ? `${group}/${name}` : name);

const NODE: Component & { readonly purl: string; readonly cpe: string } = {
  'bom-ref': `nodejs@${NODE_VERSION}`,
  type: 'platform',
  name: 'node',
  version: NODE_VERSION,
  purl: `pkg:generic/node@${NODE_VERSION}`,
  cpe: `cpe:2.3:a:nodejs:node.js:${NODE_VERSION}:*:*:*:-:*:*:*`,
};

/**
 * Writes the bill of materials of what is published (CycloneDX): from npm's list the packages whose code is
 * in the bundles, and the Node.js in the Debian package, the image and the executable. Returns the path.
 */
export function writeSbom(): string {
  const bom: Bom = JSON.parse(
    run('npm', ['sbom', '--sbom-format=cyclonedx', '--package-lock-only'], { cwd: ROOT }),
  );
  const bundled = new Set(bundledPackages().map(({ name, version }) => `${name}@${version}`));
  const components = bom.components.filter((one) => bundled.has(`${nameOf(one)}@${one.version}`));
  if (components.length !== bundled.size)
    throw new Error('package-lock.json lacks a package that is in the bundles');
  const refs = new Set([bom.metadata.component['bom-ref'], ...components.map((one) => one['bom-ref'])]);
  const dependencies = bom.dependencies
    .filter(({ ref }) => refs.has(ref))
    .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((name) => refs.has(name)) }));
  // npm calls the program a library, with the name of the checkout's folder.
  const component = { ...bom.metadata.component, type: 'application', name: MANIFEST.name };
  const metadata = { ...bom.metadata, component };
  mkdirSync(RELEASE, { recursive: true });
  const target = join(RELEASE, `metahub-${MANIFEST.version}.cdx.json`);
  writeFileSync(
    target,
    `${JSON.stringify({ ...bom, metadata, components: [...components, NODE], dependencies }, null, 2)}\n`,
  );
  return target;
}
