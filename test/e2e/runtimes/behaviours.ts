import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type DockerRegistry, startDockerRegistry } from '../../support/docker-registry.ts';
import { startGateway } from '../../support/gateway.ts';
import { type PushedIndex, pushIndex } from '../../support/image-set.ts';
import { freePort } from '../../support/loopback.ts';
import { type Metahub, type MetahubOptions, startMetahub } from '../../support/metahub.ts';
import { startPrivateHub } from '../../support/private-hub.ts';
import { openWorkplace, type Workplace } from '../../support/workplace.ts';
import type { Client, ClientKind, Surroundings } from './clients.ts';

/** The images of every behaviour, in a registry that stands in for Docker Hub. */
export interface Scene {
  readonly registry: DockerRegistry;
  readonly bench: PushedIndex;
  /** Of which no entry runs on the hosts here. */
  readonly newest: PushedIndex;
}

export async function openScene(workplace: Workplace): Promise<Scene> {
  const registry = await startDockerRegistry(workplace);
  const bench = await pushIndex(workplace, registry, 'qnib/bench', 'docker', [
    { optimizedFor: 'generic' },
    { optimizedFor: 'cpu:skylake', features: ['cpu:skylake'] },
    { optimizedFor: 'cpu:broadwell', features: ['cpu:broadwell'] },
    { optimizedFor: 'arm64', architecture: 'arm64', variant: 'v8' },
  ]);
  const newest = await pushIndex(workplace, registry, 'qnib/newest', 'oci', [
    { optimizedFor: 'cpu:zen5', features: ['cpu:zen5'] },
    { optimizedFor: 'x86-64-v4', variant: 'v4' },
  ]);
  return { registry, bench, newest };
}

/** One client, one mirror, and what the registry behind it is like. */
export interface Trial {
  readonly workplace: Workplace;
  readonly scene: Scene;
  startMirror(options: MetahubOptions): Promise<Metahub>;
  openClient(surroundings: Pick<Surroundings, 'mirror'> & Partial<Surroundings>): Promise<Client>;
}

export interface Behaviour {
  readonly name: string;
  /** What is right for this kind of client. */
  expected(kind: ClientKind): string;
  watch(trial: Trial): Promise<string>;
}

const HOST = 'cpu:broadwell';
const LOGIN = { username: 'alice', password: 'of-the-hub' };
const ACCEPT =
  'application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.index.v1+json';

/** MetaHub with settings of docker.io in a file. */
function withSettings(workplace: Workplace, settings: object): MetahubOptions {
  const config = join(workplace.directory, 'config.yaml');
  writeFileSync(config, JSON.stringify(settings)); // JSON is YAML
  return { args: ['--config', config], host: HOST };
}

async function pullBench({ openClient }: Trial, { url }: Metahub): Promise<string> {
  return await (await openClient({ mirror: url })).pull('qnib/bench:latest');
}

/** A gateway before a registry that refuses every HEAD. */
async function startWithoutHead(workplace: Workplace, registry: string): Promise<string> {
  const port = await startGateway(workplace, registry, ({ method }, outgoing, passOn) => {
    if (method === 'HEAD') outgoing.writeHead(405, { allow: 'GET' }).end();
    else passOn();
  });
  return `http://127.0.0.1:${port}`;
}

const startPrivate = ({ workplace, scene }: Trial) =>
  startPrivateHub(workplace, { registry: scene.registry.url, ...LOGIN });

const installs = (what: string) => `installs ${what}`;
const STOPS = 'stops, nothing installed';
const GOES_ON = 'goes on to the registry';

export const BEHAVIOURS: readonly Behaviour[] = [
  {
    name: 'takes the entry that fits',
    expected: () => installs(HOST),
    async watch(trial) {
      const metahub = await trial.startMirror({ upstream: trial.scene.registry.url, host: HOST });
      return installs(await pullBench(trial, metahub));
    },
  },
  {
    name: 'an image that does not run here',
    expected: ({ goesOn }) => (goesOn ? GOES_ON : STOPS),
    async watch({ startMirror, openClient, scene }) {
      const metahub = await startMirror({ upstream: scene.registry.url, host: HOST });
      const client = await openClient({ mirror: metahub.url });
      // Whatever is installed then came from the registry.
      const image = 'qnib/newest:latest';
      const pulled = await client.pull(image).then(
        () => GOES_ON,
        () => STOPS,
      );
      const refusals = await (await fetch(`${metahub.url}/metrics`)).text();
      if (!/^metahub_refusals_total [1-9]/m.test(refusals)) return 'refusal not counted';
      return pulled === STOPS && !(await client.lacks(image)) ? 'fails, and something is installed' : pulled;
    },
  },
  {
    name: 'the digest that another kind derived',
    expected: () => installs(HOST),
    async watch({ workplace, startMirror, openClient, scene }) {
      const other = openWorkplace();
      workplace.onClose(() => other.close());
      const upstream = scene.registry.url;
      const deriving = await startMetahub(other, { upstream, host: HOST });
      const head = await fetch(`${deriving.url}/v2/qnib/bench/manifests/latest`, {
        method: 'HEAD',
        headers: { accept: ACCEPT },
      });
      const digest = head.headers.get('docker-content-digest');
      if (digest === scene.bench.digest) return 'nothing derived';
      const metahub = await startMirror({ upstream, host: 'cpu:x86_64' });
      return installs(await (await openClient({ mirror: metahub.url })).pull(`qnib/bench@${digest}`));
    },
  },
  {
    name: 'a first pull while an endpoint is down',
    expected: () => installs(HOST),
    async watch(trial) {
      const endpoints = [`http://127.0.0.1:${await freePort()}`, trial.scene.registry.url];
      const settings = { upstream: { 'docker.io': { endpoints } } };
      return installs(
        await pullBench(trial, await trial.startMirror(withSettings(trial.workplace, settings))),
      );
    },
  },
  {
    name: '`answer: manifest`',
    expected: () => installs(HOST),
    async watch(trial) {
      const settings = {
        upstream: { 'docker.io': { endpoints: [trial.scene.registry.url] } },
        policy: { answer: 'manifest' },
      };
      return installs(
        await pullBench(trial, await trial.startMirror(withSettings(trial.workplace, settings))),
      );
    },
  },
  {
    name: 'a registry that refuses HEAD',
    expected: () => installs(HOST),
    async watch(trial) {
      const gateway = await startWithoutHead(trial.workplace, trial.scene.registry.url);
      return installs(await pullBench(trial, await trial.startMirror({ upstream: gateway, host: HOST })));
    },
  },
  {
    name: 'private, login of the mirror',
    expected: () => installs(HOST),
    async watch(trial) {
      const { url } = await startPrivate(trial);
      const etc = trial.workplace.folder('etc');
      mkdirSync(etc, { recursive: true });
      const auth = Buffer.from(`${LOGIN.username}:${LOGIN.password}`).toString('base64');
      const logins = join(etc, 'auth.json');
      writeFileSync(logins, JSON.stringify({ auths: { [new URL(url).host]: { auth } } }), { mode: 0o600 });
      const metahub = await trial.startMirror({
        upstream: url,
        host: HOST,
        args: ['--own-logins', 'on'],
        env: { REGISTRY_AUTH_FILE: logins },
      });
      return installs(await pullBench(trial, metahub));
    },
  },
  {
    name: 'private, login of the client',
    expected: ({ showsLogin }) => installs(showsLogin ? HOST : 'generic'),
    async watch(trial) {
      const hub = await startPrivate(trial);
      const endpoints = [{ url: hub.url, passThrough: true }];
      const settings = { upstream: { 'docker.io': { endpoints } } };
      const metahub = await trial.startMirror(withSettings(trial.workplace, settings));
      const client = await trial.openClient({ mirror: metahub.url, registry: hub.url, login: LOGIN });
      return installs(await client.pull('qnib/bench:latest'));
    },
  },
];
