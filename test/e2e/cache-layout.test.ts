import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { lineOf } from '../support/image-set.ts';
import { MIRRORED_REGISTRY, type MirroredRegistry, mirroredRegistry } from '../support/mirrored-registry.ts';
import { attempt, run } from '../support/processes.ts';
import { describeWith } from '../support/required-programs.ts';
import { openSkopeo, type Skopeo } from '../support/skopeo.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

describeWith([...MIRRORED_REGISTRY, 'skopeo', 'umoci'], 'the cache is an OCI image layout', () => {
  let workplace: Workplace;
  let scene: MirroredRegistry;
  let skopeo: Skopeo;
  let layout: string;

  beforeAll(async () => {
    workplace = openWorkplace();
    scene = await mirroredRegistry(workplace);
    skopeo = openSkopeo(workplace, { mirror: scene.metahub.url });
    await skopeo.copy('docker.io/qnib/levels:latest');
    layout = join(workplace.directory, 'metahub', 'v1');
  });
  afterAll(() => workplace?.close());

  test.each(['qnib/bench', 'qnib/levels'])(
    'skopeo copies %s from the mirror, as docs/cache.md says, when it cannot copy it from the layout',
    async (name) => {
      // Of another kind of host, so that the entry that skopeo would take of the stored list was never pulled.
      await scene.metahub.restart('cpu:broadwell');
      const page = readFileSync(new URL('../../docs/cache.md', import.meta.url), 'utf8');
      const [, command = ''] = /`(skopeo copy [^`]*docker:[^`]*)`/.exec(page) ?? [];
      const host = new URL(scene.metahub.url).host;
      const words = command
        .replace('127.0.0.1:5080/NAME', `${host}/${name}`)
        .replace('DESTINATION', `dir:${workplace.folder(`from-mirror/${name}`)}`);
      const [program = '', ...args] = words.split(' ');
      expect(await attempt(program, args)).toMatchObject({ status: 0 });
    },
  );

  test('umoci lists pulled images by their names', async () => {
    const names = (await run('umoci', ['ls', '--layout', layout])).split('\n');
    expect(names).toContain('docker.io/qnib/levels:latest');
  });

  test('skopeo copies an image out of it, without any registry', async () => {
    await scene.metahub.stop();
    const target = join(workplace.folder('out'), 'image');
    await skopeo.skopeo(
      'copy',
      '--quiet',
      `oci:${layout}:docker.io/qnib/levels:latest`,
      `oci:${target}:copied`,
    );
    const bundle = join(workplace.directory, 'bundle');
    await run('umoci', ['unpack', '--image', `${target}:copied`, bundle]);
    expect((await run(join(bundle, 'rootfs/report'), [])).trim()).toBe(lineOf('generic'));
  });
});
