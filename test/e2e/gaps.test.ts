import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DockerRegistry } from '../support/docker-registry.ts';
import { startDockerRegistry } from '../support/docker-registry.ts';
import { lineOf, pushIndex } from '../support/image-set.ts';
import { buildImage } from '../support/images.ts';
import { type Metahub, metahubProgram, startMetahub } from '../support/metahub.ts';
import { MIRRORED_REGISTRY } from '../support/mirrored-registry.ts';
import { openPodman, type Podman } from '../support/podman.ts';
import { run } from '../support/processes.ts';
import { describeWith } from '../support/required-programs.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const SOURCE = '#include <stdio.h>\nint main(void) { puts(LINE); return 0; }\n';

describeWith([...MIRRORED_REGISTRY, 'podman'], 'a build that is missing', () => {
  let workplace: Workplace;
  let registry: DockerRegistry;
  let metahub: Metahub;
  let podman: Podman;

  const cli = (...words: readonly string[]) => run(process.execPath, [metahubProgram, ...words]);
  const pull = async () => {
    await podman.pull('docker.io/qnib/bench:latest');
    return podman.run('docker.io/qnib/bench:latest');
  };

  beforeAll(async () => {
    workplace = openWorkplace();
    registry = await startDockerRegistry(workplace);
    await pushIndex(workplace, registry, 'qnib/bench', 'oci', [
      { optimizedFor: 'generic' },
      { optimizedFor: 'cpu:haswell', features: ['cpu:haswell'] },
    ]);
    metahub = await startMetahub(workplace, {
      upstream: registry.url,
      host: 'cpu:broadwell',
      args: ['--tag-max-age', '0'],
    });
    podman = openPodman(workplace, { mirror: metahub.url });
  });
  afterAll(() => workplace?.close());

  test('is named by metahub gaps, built by its matrix, pushed by its manifest, and then pulled', async () => {
    expect(await pull()).toBe(lineOf('cpu:haswell'));

    const matrix = JSON.parse(await cli('gaps', '--mirror', metahub.url, '--format', 'github-matrix'));
    expect(matrix.include).toMatchObject([
      {
        image: 'docker.io/qnib/bench:latest-broadwell',
        features: 'cpu:broadwell',
        cflags: '-march=broadwell -mtune=broadwell',
      },
    ]);
    const [{ image, cflags }] = matrix.include;

    // What the job of a matrix does: it builds with these flags and pushes under this name.
    const [source, program] = [join(workplace.directory, 'job.c'), join(workplace.directory, 'job')];
    writeFileSync(source, SOURCE);
    await run('gcc', [
      '-static',
      '-Os',
      ...cflags.split(' '),
      `-DLINE="${lineOf('cpu:broadwell')}"`,
      '-o',
      program,
      source,
    ]);
    const built = buildImage(readFileSync(program), { dialect: 'oci' });
    await registry.pushImage('qnib/bench', built, image.slice(image.lastIndexOf(':') + 1));

    const upstream = ['--upstream', `docker.io=${registry.url}`];
    const manifest = join(workplace.directory, 'manifest.yml');
    writeFileSync(
      manifest,
      await cli('gaps', 'qnib/bench:latest', '--mirror', metahub.url, '--format', 'manifest', ...upstream),
    );
    await cli('push', manifest, ...upstream);

    expect(await pull()).toBe(lineOf('cpu:broadwell'));
    const metrics = await (await fetch(`${metahub.url}/metrics`)).text();
    expect(metrics).toMatch(/^metahub_pull_fit_total\{fit="exact"\} [1-9]/m);
  });

  test('a gap is still listed after a restart', async () => {
    await metahub.restart();
    const text = await cli('gaps', '--mirror', metahub.url);
    expect(text).toMatch(/docker\.io\/qnib\/bench:latest +linux\/amd64 cpu:broadwell +cpu:haswell/);
    expect(await cli('gaps', '--offline', '--data', metahub.data)).toBe(text);
  });
});
