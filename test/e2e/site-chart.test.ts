import { afterAll, beforeAll, expect, test } from 'vitest';
import { renderSiteChart, SITE_CHART } from '../../scripts/manifests.ts';
import { variableOf } from '../../src/cli/settings/setting.ts';
import { SERVE_SETTINGS } from '../../src/cli/settings/table.ts';
import { kubernetesTools, parseManifests, schemaComplaints } from '../support/kubernetes-tools.ts';
import { podIn } from '../support/pod.ts';
import { attempt } from '../support/processes.ts';
import { describeWith } from '../support/required-programs.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const CLAIM = 'machines.existingClaim=machines';
const VARIANTS: readonly (readonly string[])[] = [
  [CLAIM],
  ['machines.secret=machines', 'shared.password=false', 'registryCredentials=logins'],
  [CLAIM, 'siteUrl=https://hub.example.org', 'proxies={10.0.0.0/8,192.0.2.1}', 'networkPolicy.enabled=false'],
];

describeWith(['npm', 'unzip', 'tar'], 'the Helm chart of a site in replicas', () => {
  let workplace: Workplace;
  beforeAll(async () => {
    workplace = openWorkplace();
    await kubernetesTools();
  });
  afterAll(() => workplace?.close());

  test('passes helm lint --strict', async () => {
    const { helm } = await kubernetesTools();
    const { status, stdout } = await attempt(helm, ['lint', '--strict', '--set', CLAIM, SITE_CHART]);
    expect(stdout).not.toMatch(/WARNING|ERROR/);
    expect(status).toBe(0);
  });

  test.each(VARIANTS.map((values) => [values]))(
    'matches the schemas when rendered with %j',
    async (values) => {
      const manifests = parseManifests(await renderSiteChart(...values));
      expect(await schemaComplaints(workplace, manifests)).toBe('');
      const pod = podIn(manifests);
      expect(pod.automountServiceAccountToken).toBe(false);
      const [container] = pod.containers;
      expect(container?.securityContext).toMatchObject({
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
      const known = [...Object.keys(SERVE_SETTINGS).map(variableOf), 'DOCKER_CONFIG'];
      expect(container?.env.map(({ name }) => name).filter((name) => !known.includes(name))).toEqual([]);
    },
  );

  test.each([
    ['without machine files', [], /machines.existingClaim or machines.secret/],
    ['with a password in a value', [CLAIM, 'shared.url=redis://:hush@redis'], /url/],
    ['with a value that it does not know', [CLAIM, 'replica=2'], /'replica'/],
  ])('is refused %s', async (_name, values, said) => {
    const { helm } = await kubernetesTools();
    const set = values.flatMap((value) => ['--set', value]);
    const { status, stderr } = await attempt(helm, ['template', 'site', SITE_CHART, ...set]);
    expect(status).not.toBe(0);
    expect(stderr).toMatch(said);
  });
});
