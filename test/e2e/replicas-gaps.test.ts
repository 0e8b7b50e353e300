import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts';
import { startServer, type TestServer } from '../support/hostile-registry.ts';
import { pushImageSet } from '../support/image-set.ts';
import type { Metahub } from '../support/metahub.ts';
import { MIRRORED_REGISTRY } from '../support/mirrored-registry.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { readiness, startReplicas } from '../support/replicas.ts';
import { describeWith } from '../support/required-programs.ts';
import { untilReady } from '../support/until-ready.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const PROGRAMS = [...MIRRORED_REGISTRY, 'redis-server', 'redis-cli'];
const ACCEPT =
  'application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.index.v1+json';

describeWith(PROGRAMS, 'two replicas with a webhook for gaps that share a Redis', () => {
  let workplace: Workplace;
  let redis: TestRedis;
  let registry: DockerRegistry;
  let hook: TestServer;
  let one: Metahub;
  let other: Metahub;
  /** Requests that the receiver has not answered. */
  let held: ServerResponse[] | undefined;

  beforeEach(async () => {
    workplace = openWorkplace();
    held = undefined;
    hook = await startServer((_request, response) => {
      if (held === undefined) response.writeHead(204).end();
      else held.push(response);
    });
    workplace.onClose(hook.close);
    [registry, redis] = await Promise.all([startDockerRegistry(workplace), startRedis(workplace)]);
    await pushImageSet(workplace, registry);
    const secret = join(workplace.directory, 'webhook.secret');
    writeFileSync(secret, `whsec_${randomBytes(32).toString('base64')}`, { mode: 0o600 });
    [one, other] = (await startReplicas(workplace, 2, {
      upstream: registry.url,
      host: 'cpu:icelake',
      args: [
        ...['--shared', `redis://127.0.0.1:${redis.port}`],
        ...['--gap-webhook', `${hook.url}/hook`, '--gap-webhook-secret', secret],
      ],
    })) as [Metahub, Metahub];
    for (const replica of [one, other]) await untilReady(replica);
  });
  afterEach(() => workplace?.close());

  async function pull({ url }: Metahub, name: string): Promise<void> {
    const answer = await fetch(`${url}/v2/${name}/manifests/latest`, { headers: { accept: ACCEPT } });
    expect(answer.status).toBe(200);
    await answer.arrayBuffer();
  }
  const subjects = () => hook.requests.map(({ body }) => (JSON.parse(body) as { subject: string }).subject);
  const waitingAt = async ({ url }: Metahub) =>
    /metahub_gap_events_waiting (\d+)/.exec(await (await fetch(`${url}/metrics`)).text())?.[1];

  test('sends the event of a gap that both notice once, and none again after a restart of both', async () => {
    await Promise.all([one, other, one, other].map((replica) => pull(replica, 'qnib/bench')));
    for (const replica of [one, other]) await expect.poll(() => waitingAt(replica)).toBe('0');
    expect(subjects()).toEqual(['docker.io/qnib/bench:latest']);
    for (const replica of [one, other]) expect(await replica.restart()).toBe(0);
    // Redis has lost all; the replicas know what they have delivered.
    await redis.cli('FLUSHALL');
    for (const replica of [one, other]) {
      await pull(replica, 'qnib/bench');
      await expect.poll(() => waitingAt(replica)).toBe('0');
    }
    expect(subjects()).toHaveLength(1);
  });

  test('has the other send it when the one whose turn it is is killed before the receiver has answered', async () => {
    held = [];
    await pull(one, 'qnib/bench');
    await expect.poll(() => held?.length).toBe(1);
    await pull(other, 'qnib/bench');
    await expect.poll(() => waitingAt(other)).toBe('1');
    process.kill(one.pid, 'SIGKILL');
    held = undefined;
    // The turn of the dead one ends, here before its minute is over.
    const keys = (await redis.cli('--scan', '--pattern', '*:gap event *')).split('\n').filter(Boolean);
    expect(keys).toHaveLength(1);
    expect(Number(await redis.cli('PTTL', keys[0] ?? ''))).toBeGreaterThan(0);
    await redis.cli('PEXPIRE', keys[0] ?? '', '1');
    await expect.poll(() => subjects().length).toBe(2);
    await expect.poll(() => waitingAt(other)).toBe('0');
    const ids = new Set(hook.requests.map(({ headers }) => headers['webhook-id']));
    expect(ids.size).toBe(1);
  });

  test('sends events while Redis is dead, with the same id from both', async () => {
    await redis.kill();
    for (const replica of [one, other])
      await expect.poll(async () => (await readiness(replica))[1]).toMatch(/^ready\ndegraded/);
    for (const replica of [one, other]) {
      await pull(replica, 'qnib/bench');
      await expect.poll(() => waitingAt(replica)).toBe('0');
    }
    expect(subjects()).toHaveLength(2);
    expect(new Set(hook.requests.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
    await redis.start();
    for (const replica of [one, other]) await expect.poll(() => readiness(replica)).toEqual([200, 'ready\n']);
    const keys = () => redis.cli('--scan', '--pattern', '*:gap event *');
    await expect.poll(keys).toContain('gap event');
  });
});
