import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort } from '../support/loopback.ts';
import { attempt, run, startServer } from '../support/processes.ts';
import { describeWith } from '../support/required-programs.ts';
import { runCli } from '../support/run-cli.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const HOSTS = {
  h100: 'ubuntu22.04-sapphirerapids-h100',
  grace: 'ubuntu24.04-grace-gh200',
  mi250x: 'sles15-zen3-mi250x',
  gaudi: 'sles15-emeraldrapids-gaudi2',
};

/** What is printed of a host, for its NodeName line. */
async function featuresOf(name: string): Promise<string> {
  const root = `test/fixtures/hosts/${HOSTS[name as keyof typeof HOSTS]}`;
  const { stdout } = await runCli('detect', '--root', root, '--format', 'slurm');
  return stdout.trim();
}

/** Nodes of Slurm whose features are those that `metahub detect --format slurm` prints. */
describeWith(['slurmctld', 'scontrol', 'sbatch', 'root'], 'Slurm with the features of a host', () => {
  let workplace: Workplace;
  let env: Record<string, string>;

  beforeAll(async () => {
    workplace = openWorkplace();
    const configuration = join(workplace.directory, 'slurm.conf');
    env = { SLURM_CONF: configuration };
    const nodes: string[] = [];
    for (const name of Object.keys(HOSTS)) {
      const port = await freePort();
      nodes.push(
        `NodeName=${name} NodeHostname=localhost Port=${port} CPUs=2 State=UNKNOWN ${await featuresOf(name)}`,
      );
    }
    writeFileSync(
      configuration,
      `${[
        'ClusterName=test',
        'SlurmctldHost=localhost(127.0.0.1)',
        'SlurmUser=root',
        'SlurmdUser=root',
        'AuthType=auth/none',
        'CredType=cred/none',
        'ProctrackType=proctrack/pgid',
        'TaskPlugin=task/none',
        'SelectType=select/linear',
        `StateSaveLocation=${workplace.folder('state')}`,
        `SlurmctldPidFile=${join(workplace.directory, 'slurmctld.pid')}`,
        `SlurmctldPort=${await freePort()}`,
        ...nodes,
        'PartitionName=all Nodes=ALL Default=YES State=UP',
      ].join('\n')}\n`,
    );
    const server = await startServer({
      command: 'slurmctld',
      args: ['-D', '-vv', '-f', configuration],
      env,
      ready: /Running as primary controller/,
    });
    workplace.onClose(() => server.stop());
  });

  afterAll(() => workplace.close());

  test.each(Object.keys(HOSTS))('has every feature of %s', async (name) => {
    const shown = await run('scontrol', ['show', 'node', name], { env });
    expect(shown).toContain(`AvailableFeatures=${(await featuresOf(name)).slice('Feature='.length)}\n`);
  });

  test.each([
    ['sapphirerapids&nvcap9.0', true],
    ['[x86-64-v4|neoverse_v2]', true],
    ['gfxgfx90a', true],
    ['accelhabana-gaudi2', true],
    ['sapphirerapids&zen5', false],
    ['nvcap12.0', false],
  ])('knows the features of --constraint=%s: %s', async (constraint, isKnown) => {
    // No slurmd runs, so that no job starts; a feature that no node has is refused before that.
    const { stderr } = await attempt('sbatch', ['--test-only', '-C', constraint, '--wrap', 'true'], { env });
    expect(stderr).toMatch(/^(?:allocation failure|sbatch): /);
    expect(/Invalid feature specification/.test(stderr), stderr).toBe(!isKnown);
  });
});
