import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { kubernetesTools } from '../test/support/kubernetes-tools.ts';
import { run } from '../test/support/processes.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const CHART = join(ROOT, 'deploy/helm/metahub');
export const SITE_CHART = join(ROOT, 'deploy/helm/metahub-site');

/** Renders the chart of a node. @param values in the form of helm's --set */
export async function renderChart(...values: readonly string[]): Promise<string> {
  const { helm } = await kubernetesTools();
  const set = values.flatMap((value) => ['--set', value]);
  return run(helm, ['template', 'metahub', CHART, '--namespace', 'metahub', ...set]);
}

/** Renders the chart of a site with replicas. @param values in the form of helm's --set */
export async function renderSiteChart(...values: readonly string[]): Promise<string> {
  const { helm } = await kubernetesTools();
  const set = values.flatMap((value) => ['--set', value]);
  return run(helm, ['template', 'site', SITE_CHART, '--namespace', 'metahub', ...set]);
}

/** Returns deploy/kubernetes/metahub.yaml: the chart with its defaults, for clusters without Helm. */
export async function plainManifests(): Promise<string> {
  const rendered = await renderChart();
  // Removes labels that are only for Helm.
  const plain = rendered.replaceAll(/^ +(helm\.sh\/chart|app\.kubernetes\.io\/managed-by): .*\n/gm, '');
  return `# Written by \`npm run manifests\` from deploy/helm/metahub; do not edit.\n${plain}`;
}

const target = join(ROOT, 'deploy/kubernetes/metahub.yaml');
if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(target, await plainManifests());
