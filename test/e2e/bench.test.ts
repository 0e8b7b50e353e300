import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startContainerd } from '../support/containerd.ts';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts';
import { startDockerd } from '../support/dockerd.ts';
import { type BuiltImage, buildImage, buildIndex } from '../support/images.ts';
import { parseDocument } from '../support/json-documents.ts';
import { metahubProgram } from '../support/metahub.ts';
import { attempt, type ProgramResult, run } from '../support/processes.ts';
import { writeRegistriesFiles } from '../support/registries-conf.ts';
import { describeWith } from '../support/required-programs.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

/** Rests for TENTHS tenths of a second, twice as long with the argument `twice`, and prints a rate. */
const SOURCE = `
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
int main(int count, char **words) {
  int tenths = TENTHS * (count > 1 && !strcmp(words[1], "twice") ? 2 : 1);
  struct timespec rest = { tenths / 10, (tenths % 10) * 100000000L };
  nanosleep(&rest, 0);
  printf("rate: %d\\nthreads: %s\\n", 120 / tenths, getenv("THREADS") ? getenv("THREADS") : "none");
  return FAILS;
}
`;

describeWith(
  ['root', 'docker-registry', 'gcc', 'dockerd', 'docker', 'podman', 'containerd', 'ctr'],
  'metahub bench',
  () => {
    let workplace: Workplace;
    let registry: DockerRegistry;
    let image: string;
    /** What each client needs to know of its daemon or its storage, and what its containers are run with. */
    const clients: Record<
      string,
      { readonly env: Record<string, string>; readonly args: readonly string[] }
    > = {};

    async function build(tenths: number, fails = 0): Promise<BuiltImage> {
      const [source, program] = [join(workplace.directory, 'work.c'), join(workplace.directory, 'work')];
      writeFileSync(source, SOURCE);
      await run('gcc', [
        '-static',
        '-Os',
        '-s',
        `-DTENTHS=${tenths}`,
        `-DFAILS=${fails}`,
        '-o',
        program,
        source,
      ]);
      return buildImage(readFileSync(program), { dialect: 'oci' });
    }

    /** `127.0.0.1:5000=http://127.0.0.1:5000`. */
    const upstream = () => `${new URL(registry.url).host}=${registry.url}`;

    const bench = (runtime: string, ...words: readonly string[]): Promise<ProgramResult> =>
      attempt(
        process.execPath,
        [
          ...[metahubProgram, 'bench', '--runtime', runtime, '--upstream', upstream()],
          ...[
            '--data',
            workplace.folder('data'),
            '--set',
            'cpu:skylake',
            ...(clients[runtime]?.args ?? []),
            ...words,
          ],
        ],
        { env: clients[runtime]?.env },
      );

    beforeAll(async () => {
      workplace = openWorkplace();
      registry = await startDockerRegistry(workplace);
      const [generic, skylake, failing] = [await build(6), await build(2), await build(1, 3)];
      for (const one of [generic, skylake, failing]) await registry.pushImage('team/work', one);
      const amd64 = { os: 'linux', architecture: 'amd64' };
      const pair = [
        { image: generic, platform: amd64 },
        { image: skylake, platform: { ...amd64, features: ['cpu:skylake'] } },
        { image: skylake, platform: { ...amd64, features: ['cpu:zen4'] } },
      ];
      await registry.pushManifest('team/work', buildIndex('oci', pair), 'latest');
      const withFailing = [
        ...pair.slice(0, 1),
        { image: failing, platform: { ...amd64, features: ['cpu:haswell'] } },
      ];
      await registry.pushManifest('team/work', buildIndex('oci', withFailing), 'failing');
      image = `${new URL(registry.url).host}/team/work`;

      await startDockerd(workplace, {});
      clients['docker'] = {
        env: {
          DOCKER_HOST: `unix://${join(workplace.folder('dockerd'), 'docker.sock')}`,
          DOCKER_CONFIG: workplace.folder('dockerd/client'),
        },
        args: ['--runtime-arg=--network=none'],
      };
      await startContainerd(workplace, { mirror: registry.url });
      clients['ctr'] = {
        env: { CONTAINERD_ADDRESS: join(workplace.folder('containerd'), 'containerd.sock') },
        args: [],
      };
      const folder = workplace.folder('podman');
      const storage = join(folder, 'storage.conf');
      writeFileSync(
        storage,
        `[storage]\ndriver = "vfs"\ngraphroot = "${join(folder, 'root')}"\nrunroot = "${join(folder, 'run')}"\n`,
      );
      const engine = join(folder, 'containers.conf');
      writeFileSync(
        engine,
        '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\n[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n',
      );
      const { configuration, logins } = writeRegistriesFiles(folder, registry.url);
      clients['podman'] = {
        env: {
          CONTAINERS_STORAGE_CONF: storage,
          CONTAINERS_CONF: engine,
          CONTAINERS_REGISTRIES_CONF: configuration,
          REGISTRY_AUTH_FILE: logins,
        },
        args: ['--runtime-arg=--network=none'],
      };
    });
    afterAll(() => workplace?.close());

    test.each(['docker', 'podman', 'ctr'])(
      'metahub bench with %s runs every entry that fits, and reports the faster build',
      async (runtime) => {
        const { stdout, stderr, status } = await bench(runtime, '--rounds', '2', '--json', image);
        expect(stderr).toBe('');
        expect(status).toBe(0);
        const { results, failures, entries } = parseDocument('bench-results', stdout);
        expect(failures).toEqual([]);
        expect(entries).toMatchObject([
          { position: 0, demands: '', isWinner: false },
          { position: 1, demands: 'cpu:skylake', isWinner: true },
        ]);
        const [generic, skylake] = results;
        expect(generic?.timesGeneric).toBe(1);
        // podman takes the time when the program runs already.
        expect(generic?.median).toBeGreaterThan(0.5);
        expect(skylake?.median).toBeGreaterThan(0.1);
        expect(skylake?.timesGeneric).toBeGreaterThan(1);
      },
    );

    test('metahub bench combines arguments and variables, and reads a number from the output', async () => {
      const file = join(workplace.directory, 'bench.yml');
      writeFileSync(
        file,
        'environment: { THREADS: [1, 4] }\narguments: [[], [twice]]\nmetric: "rate: ([0-9]+)"\nbetter: higher\nrounds: 1\n',
      );
      const { stdout, status } = await bench(
        'docker',
        '--warm-up',
        '0',
        '--file',
        file,
        '--entries',
        'best',
        '--json',
        image,
      );
      expect(status).toBe(0);
      const { results } = parseDocument('bench-results', stdout);
      const figures = results.map((one: Record<string, unknown>) => [
        one['permutation'],
        one['demands'],
        one['median'],
        one['timesGeneric'],
      ]);
      expect(figures).toEqual([
        ['THREADS=1', '', 20, 1],
        ['THREADS=1', 'cpu:skylake', 60, 3],
        ['THREADS=1 twice', '', 10, 1],
        ['THREADS=1 twice', 'cpu:skylake', 30, 3],
        ['THREADS=4', '', 20, 1],
        ['THREADS=4', 'cpu:skylake', 60, 3],
        ['THREADS=4 twice', '', 10, 1],
        ['THREADS=4 twice', 'cpu:skylake', 30, 3],
      ]);
    });

    test('metahub bench passes variables and CPUs to the container', async () => {
      const { stdout, status } = await bench(
        'docker',
        ...[
          '--rounds',
          '1',
          '--warm-up',
          '0',
          '--env',
          'THREADS=7',
          '--cpus',
          '0',
          '--metric',
          'threads: ([0-9]+)',
        ],
        ...['--entries', '2', image],
      );
      expect(status).toBe(0);
      expect(stdout).toMatch(/> 2 +cpu:skylake +7\.000 /);
      expect(stdout).toContain(', on CPUs 0');
    });

    test('metahub explain shows the measurements of this machine', async () => {
      await bench('docker', '--rounds', '1', '--metric', 'rate: ([0-9]+)', '--better', 'higher', image);
      const words = ['explain', '--upstream', upstream(), '--data', workplace.folder('data')];
      const text = await run(process.execPath, [metahubProgram, ...words, '--set', 'cpu:skylake', image]);
      expect(text).toContain('measured here: 3.00x the generic entry');
      const json = await run(process.execPath, [
        metahubProgram,
        ...words,
        '--set',
        'cpu:skylake',
        '--json',
        image,
      ]);
      expect(parseDocument('explain', json).hosts[0]?.verdicts[1]?.measured).toContainEqual(
        expect.objectContaining({ metric: 'rate: ([0-9]+)', timesGeneric: 3 }),
      );
    });

    test('metahub bench reports an entry that fails, measures the others, and exits with 1', async () => {
      const { stdout, status } = await bench('docker', '--rounds', '1', `${image}:failing`);
      expect(status).toBe(1);
      expect(stdout).toContain('entry 2 failed: exit status 3: threads: none');
      expect(stdout).toMatch(/^ {2}1 +nothing +\d+\.\d+ s .* 1\.00x$/m);
    });

    test('metahub bench stops a run that takes too long, and leaves no container', async () => {
      const { stdout, status } = await bench(
        'docker',
        '--rounds',
        '1',
        '--timeout',
        '300ms',
        '--entries',
        '1',
        image,
      );
      expect(status).toBe(1);
      expect(stdout).toContain('entry 1 failed: it ran longer than 0.3 s');
      const left = await run('docker', ['ps', '--all', '--quiet'], { env: clients['docker']?.env });
      expect(left).toBe('');
    });

    test('metahub bench refuses an image that has nothing to compare', async () => {
      const { stderr, status } = await bench('docker', '--entries', '9', image);
      expect(stderr).toContain('has none of these entries, or this host cannot run them');
      expect(status).toBe(1);
    });
  },
);
