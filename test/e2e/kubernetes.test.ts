import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { plainManifests, renderChart } from '../../scripts/manifests.ts';
import {
  type KubernetesTools,
  kubernetesTools,
  type Manifest,
  parseManifests,
  schemaComplaints,
} from '../support/kubernetes-tools.ts';
import { attempt, run } from '../support/processes.ts';
import { describeWith } from '../support/required-programs.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const CHART = join(ROOT, 'deploy/helm/metahub');
const PLAIN = join(ROOT, 'deploy/kubernetes/metahub.yaml');

const VARIANTS: readonly (readonly string[])[] = [
  [],
  ['serviceMonitor.enabled=true', 'serviceMonitor.labels.release=prometheus'],
  ['hostNetwork=true', 'cache.hostPath=null'],
  ['containerd.remove=true', 'containerd.setup=false'],
  ['images.bench\\.yml=image: qnib/bench', 'registryCredentials=logins', 'containerd.strict=true'],
];

interface Container {
  readonly name: string;
  readonly args?: readonly string[];
  readonly securityContext: {
    readonly allowPrivilegeEscalation: boolean;
    readonly readOnlyRootFilesystem: boolean;
    readonly capabilities: { readonly drop: readonly string[] };
  };
}

function podOf(manifests: readonly Manifest[]) {
  const spec = manifests.find(({ kind }) => kind === 'DaemonSet')?.spec as {
    readonly template: {
      readonly spec: {
        readonly containers: readonly Container[];
        readonly initContainers: readonly Container[];
        readonly automountServiceAccountToken: boolean;
      };
    };
  };
  return spec.template.spec;
}

describeWith(['npm', 'unzip', 'tar'], 'the Helm chart and its plain manifests', () => {
  let workplace: Workplace;
  let tools: KubernetesTools;
  beforeAll(async () => {
    workplace = openWorkplace();
    tools = await kubernetesTools();
  });
  afterAll(() => workplace?.close());

  test('pass helm lint --strict', async () => {
    const { status, stdout } = await attempt(tools.helm, ['lint', '--strict', CHART]);
    expect(stdout).not.toMatch(/WARNING|ERROR/);
    expect(status).toBe(0);
  });

  test.each(VARIANTS.map((values) => [values]))('match the schemas when rendered with %j', async (values) => {
    const manifests = parseManifests(await renderChart(...values));
    expect(manifests.map(({ kind }) => kind)).toContain('DaemonSet');
    expect(await schemaComplaints(workplace, manifests)).toBe('');
  });

  test('are refused with hostNetwork and serviceMonitor together: Prometheus could not reach the metrics', async () => {
    const words = ['template', CHART, '--set', 'hostNetwork=true,serviceMonitor.enabled=true'];
    const { status, stderr } = await attempt(tools.helm, words);
    expect(status).toBe(1);
    expect(stderr).toContain('serviceMonitor.enabled has no effect with hostNetwork');
  });

  test('fail the validation with a misspelt key, and with a value of a wrong type', async () => {
    const manifests = parseManifests(await renderChart());
    const broken = JSON.stringify(manifests).replace('"readinessProbe"', '"readynessProbe"');
    expect(await schemaComplaints(workplace, JSON.parse(broken))).toContain('readynessProbe');
    const wrong = JSON.stringify(manifests).replace('"containerPort":5080', '"containerPort":"5080"');
    expect(await schemaComplaints(workplace, JSON.parse(wrong))).toContain('number');
  });

  test('refuse a value that the chart does not know', async () => {
    const { status, stderr } = await attempt(tools.helm, [
      'template',
      'metahub',
      CHART,
      '--set',
      'prot=5081',
    ]);
    expect(status).not.toBe(0);
    expect(stderr).toContain("'prot'");
  });

  test('let no container gain rights or write to its root, and mount no token of the API', async () => {
    for (const values of VARIANTS) {
      const manifests = parseManifests(await renderChart(...values));
      const pod = podOf(manifests);
      expect(pod.automountServiceAccountToken).toBe(false);
      for (const { name, securityContext } of [...pod.containers, ...pod.initContainers]) {
        expect(securityContext, name).toMatchObject({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        });
      }
      expect(manifests.map(({ kind }) => kind).filter((kind) => /Role/.test(kind))).toEqual([]);
    }
  });

  test('have init containers that detect the node, configure its containerd, and undo that', async () => {
    const node = workplace.folder('node');
    for (const folder of ['etc/containerd', 'proc', 'sys', 'run']) workplace.folder(`node/${folder}`);
    writeFileSync(join(node, 'config.yaml'), '{}\n');
    const argsOf = async (name: string, ...values: readonly string[]) => {
      const { initContainers } = podOf(parseManifests(await renderChart(...values)));
      const { args = [] } = initContainers.find((container) => container.name === name) ?? {};
      const here: Readonly<Record<string, string>> = {
        '/host': node,
        '/run': join(node, 'run'),
        '/etc/metahub': node,
      };
      return args.map((word) =>
        word.replace(
          /\/host|\/run\/metahub|\/etc\/metahub/,
          (path) => here[path.replace('/run/metahub', '/run')] ?? path,
        ),
      );
    };
    const metahub = (words: readonly string[]) =>
      attempt(process.execPath, [join(ROOT, 'bin/metahub.js'), ...words]);

    await metahub(await argsOf('detect'));
    expect(JSON.parse(readFileSync(join(node, 'run/profile.json'), 'utf8')).platform.os).toBe('linux');
    const configured = await metahub(await argsOf('setup-containerd'));
    expect(configured.status, configured.stderr).toBe(0);
    const hosts = join(node, 'etc/containerd/certs.d/docker.io/hosts.toml');
    expect(readFileSync(hosts, 'utf8')).toContain('http://127.0.0.1:5080');
    const removed = await metahub(await argsOf('setup-containerd', 'containerd.remove=true'));
    expect(removed.status, removed.stderr).toBe(0);
    expect(existsSync(hosts)).toBe(false);
  });

  test('deploy/kubernetes/metahub.yaml is the rendered chart: `npm run manifests` writes it', async () => {
    expect(readFileSync(PLAIN, 'utf8')).toBe(await plainManifests());
  });

  test('kubectl builds the kustomization and reads the daemon set', async () => {
    const built = await run(tools.kubectl, ['kustomize', join(ROOT, 'deploy/kubernetes')]);
    expect(parseManifests(built).map(({ kind }) => kind)).toEqual([
      'Namespace',
      'ServiceAccount',
      'ConfigMap',
      'DaemonSet',
      'NetworkPolicy',
    ]);
    const daemonSet = parseManifests(built).find(({ kind }) => kind === 'DaemonSet');
    const set = await run(
      tools.kubectl,
      ['set', 'image', '--local', '--filename', '-', 'metahub=example.org/metahub:1', '--output', 'yaml'],
      { input: JSON.stringify(daemonSet) },
    );
    expect(set).toContain('image: example.org/metahub:1');
  });
});
