import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pullByCri } from '../../../src/cli/commands/doctor/cri.ts';
import { startContainerd } from '../../support/containerd.ts';
import type { DebianRelease } from '../../support/debian-release.ts';
import { startDockerRegistry } from '../../support/docker-registry.ts';
import { startHub } from '../../support/hub.ts';
import { pushIndex } from '../../support/image-set.ts';
import { type Metahub, metahubProgram, startMetahub } from '../../support/metahub.ts';
import { run } from '../../support/processes.ts';
import type { Workplace } from '../../support/workplace.ts';

/** A mirror before a registry that is Docker Hub to the runtimes, and what they are given to reach the latter. */
export interface NodeScene {
  readonly metahub: Metahub;
  readonly env: Readonly<Record<string, string>>;
}

/** A runtime on the files that `metahub setup` wrote; it pulls `qnib/NAME` and answers what it got is optimized for. */
type Pull = (image: string) => Promise<string>;

export interface NodeKind {
  readonly name: string;
  readonly package: string;
  readonly expected: Readonly<Record<NodeColumn, string>>;
  open(workplace: Workplace, release: DebianRelease, scene: NodeScene): Promise<Pull>;
}

export const NODE_COLUMNS = [
  'takes the entry that fits',
  'an image that does not run here',
  'without the mirror',
] as const;
export type NodeColumn = (typeof NODE_COLUMNS)[number];

const HOST = 'cpu:broadwell';
const STOPS = 'stops, nothing installed';

/** @param shell a static shell, without which apptainer makes no image */
export async function openNodeScene(workplace: Workplace, shell: Buffer): Promise<NodeScene> {
  const registry = await startDockerRegistry(workplace);
  await pushIndex(
    workplace,
    registry,
    'qnib/bench',
    'oci',
    [
      { optimizedFor: 'generic' },
      { optimizedFor: 'cpu:skylake', variant: 'v3', features: ['cpu:skylake'] },
      { optimizedFor: HOST, features: [HOST] },
    ],
    [{ path: 'bin/sh', content: shell }],
  );
  await pushIndex(workplace, registry, 'qnib/newest', 'oci', [
    { optimizedFor: 'cpu:zen5', features: ['cpu:zen5'] },
  ]);
  const { env } = await startHub(workplace, registry.url);
  return { metahub: await startMetahub(workplace, { upstream: registry.url, host: HOST }), env };
}

/** What `metahub setup` makes of a machine below `root`. */
async function setup(root: string, runtime: string, { metahub }: NodeScene): Promise<void> {
  await run(process.execPath, [
    ...[metahubProgram, 'setup', runtime, '--mirror', metahub.url, '--root', root],
  ]);
}

const optimizedFor = (output: string) => /optimized for: (.*)$/m.exec(output)?.[1] ?? output;

async function openCri(workplace: Workplace, { programs }: DebianRelease, scene: NodeScene): Promise<Pull> {
  const root = workplace.folder('machine');
  const configuration = join(root, 'etc/containerd/config.toml');
  mkdirSync(join(root, 'etc/containerd'), { recursive: true });
  writeFileSync(configuration, await programs.run('containerd', ['config', 'default']));
  await setup(root, 'containerd', scene);
  // The folder of the machine below which setup wrote.
  const moved = readFileSync(configuration, 'utf8').replaceAll(
    /"(\/etc\/containerd\/certs\.d)"/g,
    `"${root}$1"`,
  );
  writeFileSync(configuration, moved);
  const containerd = await startContainerd(workplace, {
    mirror: scene.metahub.url,
    configuration,
    env: scene.env,
    programs,
  });
  return async (image) => {
    const name = `docker.io/${image}:latest`;
    const pull = await pullByCri(containerd.socket, name, AbortSignal.timeout(30_000));
    if (pull.kind !== 'pulled') throw new Error(pull.kind === 'failed' ? pull.message : pull.kind);
    return optimizedFor(await containerd.run(name, 'k8s.io'));
  };
}

async function openApptainer(
  workplace: Workplace,
  { programs, tree }: DebianRelease,
  scene: NodeScene,
): Promise<Pull> {
  await setup(tree, 'apptainer', scene);
  // It puts these of its machine into each container.
  for (const name of ['resolv.conf', 'localtime']) writeFileSync(join(tree, 'etc', name), '');
  const env = {
    ...scene.env,
    APPTAINER_CACHEDIR: workplace.folder('cache'),
    APPTAINER_CONFIGDIR: workplace.folder('apptainer'),
  };
  return async (image) => {
    const file = join(workplace.directory, `${randomUUID()}.sif`);
    await programs.run('apptainer', ['pull', file, `docker://${image}`], { env });
    return optimizedFor(await programs.run('apptainer', ['run', '--no-privs', file], { env }));
  };
}

const CRI = { name: 'containerd, by CRI', package: 'containerd', open: openCri } as const;

export const NODES: readonly NodeKind[] = [
  {
    ...CRI,
    expected: {
      'takes the entry that fits': `installs ${HOST}`,
      'an image that does not run here': STOPS,
      'without the mirror': 'installs generic',
    },
  },
  {
    name: 'apptainer',
    package: 'apptainer',
    open: (workplace, release, scene) => openApptainer(workplace, release, scene),
    expected: {
      'takes the entry that fits': `installs ${HOST}`,
      'an image that does not run here': STOPS,
      'without the mirror': STOPS,
    },
  },
  {
    name: 'apptainer, cache filled by a Skylake',
    package: 'apptainer',
    async open(workplace, release, scene) {
      const pull = await openApptainer(workplace, release, scene);
      await scene.metahub.restart('cpu:skylake');
      await pull('qnib/bench');
      await scene.metahub.restart(HOST);
      return pull;
    },
    expected: {
      'takes the entry that fits': 'installs cpu:skylake',
      'an image that does not run here': STOPS,
      'without the mirror': 'installs cpu:skylake',
    },
  },
];

/** Watches one column of one runtime that begins empty. */
export async function watchNode(
  column: NodeColumn,
  kind: NodeKind,
  workplace: Workplace,
  release: DebianRelease,
  scene: NodeScene,
): Promise<string> {
  await scene.metahub.restart(HOST);
  const pull = await kind.open(workplace, release, scene);
  if (column === 'without the mirror') await scene.metahub.stop();
  return await pull(column === 'an image that does not run here' ? 'qnib/newest' : 'qnib/bench').then(
    (got) => `installs ${got}`,
    (error: Error) => {
      if (process.env['METAHUB_DEBUG'] === '1') process.stderr.write(`${error.message}\n`);
      return STOPS;
    },
  );
}
