import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { createAuthority } from '../support/certificates.ts';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts';
import { buildImage, buildIndex } from '../support/images.ts';
import type { Metahub } from '../support/metahub.ts';
import { startNginx } from '../support/nginx.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { readiness, startReplicas } from '../support/replicas.ts';
import { basic, hashed } from '../support/site.ts';
import type { Workplace } from '../support/workplace.ts';
import { createRandom, type Random } from './random.ts';
import type { SoakOptions, SoakResult } from './soak.ts';
import { Tally } from './tally.ts';

/** The programs that it starts. */
export const REPLICAS_NEED = ['docker-registry', 'nginx', 'redis-server', 'redis-cli'];

const REPLICAS = 3;
const MACHINES = 200;
const IMAGES = 6;
/** Ten microarchitectures, each with and without a GPU: twenty machine types. */
const CPUS =
  'broadwell haswell skylake skylake_avx512 cascadelake icelake sapphirerapids zen2 zen3 zen4'.split(' ');
const TYPES = CPUS.flatMap((cpu) => [[`cpu:${cpu}`], [`cpu:${cpu}`, 'nvcap:7.0']]);
const PASSWORD = 'of-the-machines';
const LAYER_BYTES = 64 * 1024;
/** A runtime retries a request that broke off or got a server error; it accepts any other error as final. */
const ATTEMPTS = 10;
const RETRY_MS = 300;
/** The longest pause of a machine between two pulls, in milliseconds. */
const PAUSE_MS = 4000;
const ACCEPT = 'application/vnd.docker.distribution.manifest.list.v2+json';

/** An image: its name, and the only right manifest for each machine type. */
interface Published {
  readonly name: string;
  readonly manifestOf: readonly Digest[];
}

interface Answer {
  readonly status: number;
  readonly digest: string;
  readonly body: Buffer;
}

/** A response after which a runtime gives up, or wrong bytes. */
class LostPullError extends Error {}

async function publish(registry: DockerRegistry, at: number): Promise<Published> {
  const name = `qnib/app${at}`;
  const entries = [];
  for (const features of [[], ...TYPES]) {
    const image = buildImage(randomBytes(LAYER_BYTES), { dialect: 'docker' });
    await registry.pushImage(name, image);
    entries.push({ image, platform: { os: 'linux', architecture: 'amd64', features } });
  }
  await registry.pushManifest(name, buildIndex('docker', entries), 'latest');
  return { name, manifestOf: entries.slice(1).map(({ image }) => image.manifest.digest) };
}

/** The shared state of all machines of a run: the site's address, and the counts. */
class Fleet {
  readonly retried = new Tally();
  readonly lost: string[] = [];
  readonly pullMs: number[] = [];
  requests = 0;
  readonly #agent: Agent;
  readonly #port: number;

  constructor(port: number, ca: string) {
    this.#port = port;
    this.#agent = new Agent({ keepAlive: true, maxSockets: 64, ca });
  }

  close(): void {
    this.#agent.destroy();
  }

  #once(path: string, authorization: string, method: string): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const headers = { authorization, accept: ACCEPT };
      const options = { host: 'localhost', port: this.#port, path, method, headers, agent: this.#agent };
      const sent = request({ ...options, timeout: 30_000 }, (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('error', reject);
        response.on('end', () => {
          const digest = String(response.headers['docker-content-digest'] ?? '');
          const body = Buffer.concat(parts);
          if (response.complete) resolve({ status: response.statusCode ?? 0, digest, body });
          else reject(new Error('broken off'));
        });
        response.on('aborted', () => reject(new Error('broken off')));
      });
      sent.on('timeout', () => sent.destroy(new Error('timeout')));
      sent.on('error', reject);
      sent.end();
    });
  }

  async ask(path: string, authorization: string, method = 'GET'): Promise<Answer> {
    let last = '';
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      this.requests += 1;
      try {
        const answer = await this.#once(path, authorization, method);
        if (answer.status === 200) return answer;
        last = String(answer.status);
        if (answer.status < 500) throw new LostPullError(`${method} ${path}: ${last} ${answer.body}`);
      } catch (error) {
        if (error instanceof LostPullError) throw error;
        last = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
      }
      this.retried.add(last);
      await delay(RETRY_MS * attempt);
    }
    throw new LostPullError(`${method} ${path}: ${last}, ${ATTEMPTS} times`);
  }

  async content(path: string, authorization: string, digest: string): Promise<Buffer> {
    const { body } = await this.ask(`${path}/${digest}`, authorization);
    if (digestOf(body) !== digest) throw new LostPullError(`WRONG bytes for ${path}/${digest}`);
    return body;
  }

  /** A complete pull like a runtime's: token, HEAD of the tag, and everything else by digest. */
  async pull({ name, manifestOf }: Published, type: number): Promise<void> {
    const startedMs = performance.now();
    const login = basic(`site-type${type}`, PASSWORD);
    const { body } = await this.ask(`/token?service=metahub&scope=repository:${name}:pull`, login);
    const bearer = `Bearer ${(JSON.parse(body.toString()) as { token: string }).token}`;
    const manifests = `/v2/${name}/manifests`;
    const { digest } = await this.ask(`${manifests}/latest`, bearer, 'HEAD');
    const index = JSON.parse((await this.content(manifests, bearer, digest)).toString()) as {
      manifests: { digest: string }[];
    };
    const [chosen] = index.manifests;
    if (chosen === undefined || chosen.digest !== manifestOf[type] || index.manifests.length !== 1) {
      throw new LostPullError(`WRONG entry of ${name} for type${type}`);
    }
    const manifest = JSON.parse((await this.content(manifests, bearer, chosen.digest)).toString()) as {
      config: { digest: string };
      layers: { digest: string }[];
    };
    for (const blob of [manifest.config, ...manifest.layers]) {
      await this.content(`/v2/${name}/blobs`, bearer, blob.digest);
    }
    this.pullMs.push(performance.now() - startedMs);
  }
}

interface ReplicaScene {
  readonly fleet: Fleet;
  readonly images: readonly Published[];
  readonly replicas: readonly Metahub[];
  readonly redis: TestRedis;
  readonly random: Random;
}

async function setUpReplicas(workplace: Workplace, seed: number): Promise<ReplicaScene> {
  const authority = await createAuthority();
  workplace.onClose(() => authority.remove());
  const [registry, redis] = await Promise.all([startDockerRegistry(workplace), startRedis(workplace)]);
  const images = await Promise.all(Array.from({ length: IMAGES }, (_, at) => publish(registry, at)));
  const machines = workplace.folder('machines.d');
  const types = TYPES.map((features, at) => ({ name: `type${at}`, features }));
  const account = { user: 'site', password: await hashed(PASSWORD), types };
  writeFileSync(join(machines, 'site.yaml'), JSON.stringify(account)); // JSON is YAML
  const replicas = await startReplicas(workplace, REPLICAS, {
    upstream: registry.url,
    args: [
      ...['--machines', machines, '--shared', `redis://127.0.0.1:${redis.port}`],
      ...['--proxies', '127.0.0.1', '--log-level', 'notice', '--cache', 'transit'],
    ],
  });
  const certificate = await authority.issue('localhost');
  const place = await startNginx(workplace, { backend: replicas.map(({ url }) => url), certificate });
  const fleet = new Fleet(Number(place.split(':').at(-1)), authority.cert);
  workplace.onClose(() => fleet.close());
  return { fleet, images, replicas, redis, random: createRandom(seed) };
}

/** The faults of replicas and of Redis, one after another, evenly distributed over the time. */
function faultsOf({ replicas, redis, random }: ReplicaScene): readonly (readonly [string, () => unknown])[] {
  const killOne = () => random.pick(replicas).killAndRestart();
  return [
    ['nothing', () => {}],
    ['a replica is killed and starts again', killOne],
    ['Redis is killed', () => redis.kill()],
    ['a replica is killed while there is no Redis', killOne],
    ['Redis starts again', () => redis.start()],
    ['Redis stands still', () => redis.pause()],
    ['a replica is killed while Redis stands still', killOne],
    ['Redis goes on', () => redis.resume()],
  ];
}

function quantile(sorted: readonly number[], share: number): string {
  const ms = sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
  return `${Math.round(ms)} ms`;
}

/**
 * Two hundred machines of twenty types pull through nginx from three replicas, with the requests of a pull at
 * different replicas, while replicas and Redis are killed. No response may be wrong, and no pull may fail.
 */
export async function soakReplicas(
  workplace: Workplace,
  { minutes, seed, tell }: SoakOptions,
): Promise<SoakResult> {
  const scene = await setUpReplicas(workplace, seed);
  const { fleet, images, replicas } = scene;
  const [startedMs, durationMs] = [performance.now(), minutes * 60_000];
  const isOver = () => performance.now() - startedMs >= durationMs;

  async function machine(at: number): Promise<void> {
    const random = createRandom(seed + at);
    while (!isOver()) {
      await fleet
        .pull(random.pick(images), at % TYPES.length)
        .catch((error: Error) => void fleet.lost.push(error.message));
      await delay(random.whole(0, PAUSE_MS));
    }
  }

  const working = Promise.all(Array.from({ length: MACHINES }, (_, at) => machine(at)));
  const faults = faultsOf(scene);
  const problems: string[] = [];
  const byFault: string[] = [];
  for (const [what, harm] of faults) {
    const before = { pulls: fleet.pullMs.length, retried: fleet.retried.total, lost: fleet.lost.length };
    await harm();
    await delay(durationMs / faults.length);
    const { pullMs, retried, lost } = fleet;
    const did = `${pullMs.length - before.pulls} pulls, ${retried.total - before.retried} requests tried again`;
    byFault.push(`${what}: ${did}, ${lost.length - before.lost} lost`);
    tell(byFault.at(-1) ?? '');
  }
  await working;
  for (const replica of replicas) {
    const giveUpMs = performance.now() + 20_000;
    while ((await readiness(replica))[1] !== 'ready\n' && performance.now() < giveUpMs) await delay(200);
    const [, text] = await readiness(replica);
    if (text !== 'ready\n') problems.push(`a replica does not share again: ${text}`);
  }
  const sorted = fleet.pullMs.toSorted((one, other) => one - other);
  if (sorted.length < MACHINES) problems.push(`only ${sorted.length} pulls`);
  const seconds = (performance.now() - startedMs) / 1000;
  return {
    lines: [
      `seed ${seed}: ${MACHINES} machines of ${TYPES.length} types, ${REPLICAS} replicas, ${Math.round(seconds)} s`,
      ...byFault,
      `${sorted.length} pulls, ${fleet.requests} requests (${Math.round(fleet.requests / seconds)} a second)`,
      `a pull takes ${quantile(sorted, 0.5)} in the median, ${quantile(sorted, 0.99)} at the 99th percentile`,
      `tried again: ${fleet.retried}`,
    ],
    failures: [...fleet.lost, ...problems],
  };
}
