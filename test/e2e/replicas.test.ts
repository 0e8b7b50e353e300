import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createAuthority, type TestAuthority } from '../support/certificates.ts';
import { metahub as command } from '../support/cli.ts';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts';
import { type ImageSet, pushImageSet } from '../support/image-set.ts';
import { freePort } from '../support/loopback.ts';
import type { Metahub } from '../support/metahub.ts';
import { MIRRORED_REGISTRY } from '../support/mirrored-registry.ts';
import { startRedis, startSentinel, type TestRedis } from '../support/redis.ts';
import { readiness, startReplicas } from '../support/replicas.ts';
import { describeWith } from '../support/required-programs.ts';
import { basic, hashed } from '../support/site.ts';
import { untilReady } from '../support/until-ready.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const PROGRAMS = [...MIRRORED_REGISTRY, 'redis-server', 'redis-cli'];
const ACCEPT =
  'application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.index.v1+json';

const degraded = (replica: Metahub) =>
  expect
    .poll(async () => (await readiness(replica)).join(' '))
    .toMatch(/^200 ready\ndegraded: cannot reach the shared state/);
const eventsIn = ({ log }: Metahub) =>
  [...log().matchAll(/"event":"(shared-state-\w+)"/g)].map(([, event]) => event);

async function ask({ url }: Metahub, path: string, init: RequestInit = {}) {
  const response = await fetch(`${url}${path}`, { ...init, headers: { accept: ACCEPT, ...init.headers } });
  const digest = response.headers.get('docker-content-digest');
  return { status: response.status, digest, text: await response.text() };
}

async function sampleOf({ url }: Metahub, sample: string): Promise<string | undefined> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return text
    .split('\n')
    .find((line) => line.startsWith(`${sample} `))
    ?.split(' ')
    .at(-1);
}

describeWith(PROGRAMS, 'two replicas of one host’s kind that share a Redis', () => {
  let workplace: Workplace;
  let redis: TestRedis;
  let registry: DockerRegistry;
  let images: ImageSet;
  let one: Metahub;
  let other: Metahub;

  beforeAll(async () => {
    workplace = openWorkplace();
    [registry, redis] = await Promise.all([startDockerRegistry(workplace), startRedis(workplace)]);
    images = await pushImageSet(workplace, registry);
    const args = ['--shared', `redis://127.0.0.1:${redis.port}`];
    const replicas = await startReplicas(workplace, 2, {
      upstream: registry.url,
      host: 'cpu:broadwell',
      args,
    });
    [one, other] = replicas as [Metahub, Metahub];
    await Promise.all([untilReady(one), untilReady(other)]);
  });
  afterAll(() => workplace?.close());

  /** The digest that one replica announces; the key under which it is shared. */
  async function announced(name = 'qnib/bench') {
    const { digest } = await ask(one, `/v2/${name}/manifests/latest`, { method: 'HEAD' });
    const keys = (await redis.cli('--scan', '--pattern', '*derived:*')).split('\n');
    return { digest, key: keys.find((key) => key.endsWith(`${digest}`)) ?? '' };
  }

  test.each([
    ['what nobody wrote', (key: string) => ['SET', key, 'rubbish']],
    ['another value than the key’s', (key: string) => ['EVAL', "redis.call('SET', KEYS[1], 'A')", '1', key]],
    [
      'a value of 64 MiB',
      (key: string) => ['EVAL', "redis.call('SET', KEYS[1], string.rep('A', 67108864))", '1', key],
    ],
    [
      'a list',
      (key: string) => ['EVAL', "redis.call('DEL', KEYS[1]); redis.call('RPUSH', KEYS[1], 'a')", '1', key],
    ],
  ])('a derived digest is found by its tag when Redis contains %s', async (_name, spoil) => {
    const { digest, key } = await announced('qnib/levels');
    await redis.cli(...spoil(key));
    const found = await ask(other, `/v2/qnib/levels/manifests/${digest}`);
    expect([found.status, found.digest]).toEqual([200, digest]);
    expect(found.text).not.toContain('AAAA');
    await redis.cli('DEL', key);
    await one.restart();
    await other.restart();
    await Promise.all([untilReady(one), untilReady(other)]);
  });

  test('deliver a digest that the other replica announced, while the registry is down', async () => {
    await expect.poll(async () => (await announced()).key).not.toBe('');
    const { digest, key } = await announced();
    expect(digest).not.toBe(images.bench.digest);
    expect(key).toMatch(/^metahub:v2:[0-9a-f]{16}:derived:/);
    await registry.stop();
    const delivered = () => ask(other, `/v2/qnib/bench/manifests/${digest}`);
    await expect.poll(async () => (await delivered()).digest).toBe(digest);
    const found = await delivered();
    expect(found.text).toContain(images.bench.entry('cpu:broadwell'));
    const hits = await sampleOf(other, 'metahub_shared_requests_total{operation="get",result="ok"}');
    expect(Number(hits)).toBeGreaterThan(0);
  });

  test('each replica shows the latest decisions of both', async () => {
    const imagesIn = async (replica: Metahub) => {
      const { decisions } = JSON.parse((await ask(replica, '/status.json')).text) as {
        decisions: { image: string }[];
      };
      return decisions.map(({ image }) => image);
    };
    await expect.poll(() => imagesIn(other)).toContain('docker.io/qnib/bench:latest');
  });
});

describeWith(PROGRAMS, 'two replicas of a site that share a Redis with TLS and a password', () => {
  const PASSWORD = 'hush-of-redis';
  const PLAIN = 'docker.io/library/plain:latest';
  let workplace: Workplace;
  let authority: TestAuthority;
  let redis: TestRedis;
  let registry: DockerRegistry;
  let one: Metahub;
  let other: Metahub;
  let machines: string;
  const authorization = basic('ci', 'hush');

  beforeAll(async () => {
    workplace = openWorkplace();
    authority = await createAuthority();
    workplace.onClose(() => authority.remove());
    const tls = { authority, certificate: await authority.issue('127.0.0.1') };
    [registry, redis] = await Promise.all([
      startDockerRegistry(workplace),
      startRedis(workplace, { password: PASSWORD, tls }),
    ]);
    await pushImageSet(workplace, registry);
    machines = workplace.folder('machines.d');
    writeFileSync(
      join(machines, 'ci.yaml'),
      `user: ci\npassword: "${await hashed('hush')}"\nmanagesMachines: true\npush: [team/*, qnib/*]\ntypes: [{ name: gpu, features: [cpu:broadwell] }]\n`,
    );
    const passwordFile = join(workplace.directory, 'redis-password');
    writeFileSync(passwordFile, `${PASSWORD}\n`, { mode: 0o600 });
    const replicas = await startReplicas(workplace, 2, {
      upstream: registry.url,
      args: [
        ...['--machines', machines, '--push', 'on', '--tag-max-age', '1h', '--proxies', '127.0.0.1'],
        ...['--shared', `rediss://127.0.0.1:${redis.port}`, '--shared-password', passwordFile],
        ...['--shared-ca', authority.certFile],
      ],
    });
    [one, other] = replicas as [Metahub, Metahub];
    await Promise.all([untilReady(one), untilReady(other)]);
  });
  afterAll(() => workplace?.close());

  const pull = (replica: Metahub, name: string, reference = 'latest') =>
    ask(replica, `/v2/${name}/manifests/${reference}`, { headers: { authorization } });

  test('a tag that is pushed through one is pulled in its new state from the other, whatever --tag-max-age is', async () => {
    const before = await pull(other, 'library/plain');
    const { text } = await pull(one, 'qnib/levels');
    const headers = { authorization, 'content-type': 'application/vnd.oci.image.index.v1+json' };
    const levels = await fetch(`${registry.url}/v2/qnib/levels/manifests/latest`, {
      headers: { accept: ACCEPT },
    });
    const bench = await fetch(`${registry.url}/v2/qnib/bench/manifests/latest`, {
      headers: { accept: ACCEPT },
    });
    expect([before.status, text.length > 0, levels.ok, bench.ok]).toEqual([200, true, true, true]);
    const tagged = await pull(other, 'qnib/levels');
    const plainest = JSON.parse(await levels.text()) as { manifests: unknown[] };
    plainest.manifests = plainest.manifests.slice(0, 1);
    const body = JSON.stringify(plainest);
    const put = await fetch(`${one.url}/v2/qnib/levels/manifests/latest`, { method: 'PUT', headers, body });
    expect(put.status).toBe(201);
    await expect.poll(async () => (await pull(other, 'qnib/levels')).digest).not.toBe(tagged.digest);
  });

  test('a machine type that is added at one can log in at the other at once', async () => {
    const added = await ask(one, '/site/machines', {
      method: 'POST',
      headers: { authorization, 'content-type': 'application/json' },
      body: JSON.stringify({ name: 'new', features: ['cpu:skylake'] }),
    });
    expect(added.status).toBeLessThan(300);
    const login = { headers: { authorization: basic('ci-new', 'hush') } };
    await expect.poll(async () => (await ask(other, '/v2/', login)).status).toBe(200);
  });

  test('wrong passwords at one replica delay logins from that address at the other replica', async () => {
    const headers = { authorization: basic('nobody', 'guess'), 'x-forwarded-for': '192.0.2.7' };
    const wrong = { headers };
    for (let at = 0; at < 10; at += 1) expect((await ask(one, '/v2/', wrong)).status).toBe(401);
    await expect.poll(async () => (await ask(other, '/v2/', wrong)).status).toBe(429);
    // A login that was verified before continues to work.
    expect((await pull(other, 'qnib/bench')).status).toBe(200);
  });

  /** What the API of a replica shows of pulls. */
  const recordAt = async (replica: Metahub) => {
    const lists = ['images', 'decisions', 'hosts'].map((list) =>
      ask(replica, `/api/v1/${list}?limit=500`, { headers: { authorization } }),
    );
    return (await Promise.all(lists)).map(({ text }) => JSON.parse(text) as unknown);
  };
  const countAt = async (replica: Metahub, image: string) => {
    const [{ images }] = (await recordAt(replica)) as [{ images: { image: string; answers: number }[] }];
    return images.find((one) => one.image === image)?.answers ?? 0;
  };

  const recordsAgree = () =>
    expect
      .poll(async () => JSON.stringify(await recordAt(one)) === JSON.stringify(await recordAt(other)))
      .toBe(true);

  test('both replicas list the same pulls, with the same reasons', async () => {
    const image = 'docker.io/qnib/bench:latest';
    await recordsAgree();
    const before = await countAt(one, image);
    for (const replica of [one, other, other]) expect((await pull(replica, 'qnib/bench')).status).toBe(200);
    for (const replica of [one, other]) await expect.poll(() => countAt(replica, image)).toBe(before + 3);
    await recordsAgree();
  });

  /** The cookie of a new session of the pages. */
  const logInAt = async ({ url }: Metahub) => {
    const body = new URLSearchParams({ login: 'ci', password: 'hush' });
    const answer = await fetch(`${url}/site/login`, { method: 'POST', redirect: 'manual', body });
    return (answer.headers.get('set-cookie') ?? '').split(';')[0] ?? '';
  };
  const logOutAt = ({ url }: Metahub, cookie: string) =>
    fetch(`${url}/site/logout`, { method: 'POST', redirect: 'manual', headers: { cookie } });
  const isIn = async ({ url }: Metahub, cookie: string) =>
    (await fetch(`${url}/site/`, { redirect: 'manual', headers: { cookie } })).status === 200;

  test('a session that ends at one has ended at the other, also after a restart of both', async () => {
    const cookie = await logInAt(one);
    expect([await isIn(one, cookie), await isIn(other, cookie)]).toEqual([true, true]);
    expect((await logOutAt(one, cookie)).status).toBe(303);
    expect(await isIn(one, cookie)).toBe(false);
    await expect.poll(() => isIn(other, cookie)).toBe(false);
    await expect.poll(() => redis.cli('--scan', '--pattern', '*ended metahub-site list')).toContain('ended');
    for (const replica of [one, other]) expect(await replica.restart()).toBe(0);
    for (const replica of [one, other]) {
      await untilReady(replica);
      await expect.poll(() => isIn(replica, cookie)).toBe(false);
    }
  });

  test('a session that ends while Redis is dead ends at the other when Redis is back', async () => {
    const cookie = await logInAt(one);
    await redis.kill();
    for (const replica of [one, other]) await degraded(replica);
    expect((await logOutAt(one, cookie)).status).toBe(303);
    expect([await isIn(one, cookie), await isIn(other, cookie)]).toEqual([false, true]);
    await redis.start();
    await expect.poll(() => isIn(other, cookie)).toBe(false);
    await Promise.all([untilReady(one), untilReady(other)]);
  });

  test('neither the logs nor metahub config show contain a Redis password', async () => {
    const { stdout } = await command(['config', 'show', '--json'], {
      env: { METAHUB_SHARED: `rediss://app:${PASSWORD}@127.0.0.1:${redis.port}` },
    });
    expect(stdout).toContain('rediss://app:***@127.0.0.1');
    for (const text of [one.log(), other.log(), stdout]) expect(text).not.toContain(PASSWORD);
  });

  describe.each([
    ['is killed and started again', () => redis.kill(), () => redis.start()],
    ['stands still and goes on', async () => redis.pause(), async () => redis.resume()],
  ])('when Redis %s', (_name, harm, mend) => {
    test('both replicas continue to serve, report the loss, and share again by themselves', async () => {
      const before = eventsIn(one).length;
      await recordsAgree();
      const plain = await countAt(one, PLAIN);
      await harm();
      for (const replica of [one, other]) {
        for (const name of ['qnib/bench', 'library/plain'])
          expect((await pull(replica, name)).status).toBe(200);
        await degraded(replica);
        expect(await sampleOf(replica, 'metahub_shared_up')).toBe('0');
      }
      await mend();
      for (const replica of [one, other]) {
        await expect.poll(() => readiness(replica)).toEqual([200, 'ready\n']);
        expect(await sampleOf(replica, 'metahub_shared_up')).toBe('1');
      }
      // What each has answered alone is known to both.
      await recordsAgree();
      const counts = await Promise.all([one, other].map((replica) => countAt(replica, PLAIN)));
      expect(counts).toEqual([plain + 2, plain + 2]);
      expect(eventsIn(one).slice(before)).toEqual(['shared-state-lost', 'shared-state-reached']);
    });
  });
});

describeWith(PROGRAMS, 'a token that is revoked in the folder of one replica', () => {
  test('a token revoked at one replica is refused by another whose folder does not show the change yet', async () => {
    const workplace = openWorkplace();
    try {
      const redis = await startRedis(workplace);
      const [mine, stale] = [workplace.folder('mine.d'), workplace.folder('stale.d')];
      writeFileSync(join(mine, 'ci.yaml'), `user: ci\npassword: "${await hashed('hush')}"\n`);
      const created = await command(['token', 'create', 'ci', 'job', '--machines', mine]);
      copyFileSync(join(mine, 'ci.yaml'), join(stale, 'ci.yaml'));
      const shared = ['--shared', `redis://127.0.0.1:${redis.port}`];
      const folders = [mine, stale];
      const [one, other] = await startReplicas(workplace, 2, {
        args: shared,
        argsOf: (at) => ['--machines', folders[at] ?? ''],
        upstream: 'http://127.0.0.1:9',
      });
      if (!one || !other) throw new Error('no replicas');
      await Promise.all([untilReady(one), untilReady(other)]);
      const login = { headers: { authorization: basic('ci', created.stdout.trim()) } };
      for (const replica of [one, other]) expect((await ask(replica, '/v2/', login)).status).toBe(200);
      await command(['token', 'revoke', 'ci', 'job', '--machines', mine]);
      await expect.poll(async () => (await ask(one, '/v2/', login)).status).toBe(401);
      await expect.poll(async () => (await ask(other, '/v2/', login)).status).toBe(401);
    } finally {
      await workplace.close();
    }
  });
});

describeWith(['redis-server', 'redis-cli'], 'the shared state of replicas', () => {
  let workplace: Workplace;
  beforeAll(() => {
    workplace = openWorkplace();
  });
  afterAll(() => workplace?.close());

  async function isReached(url: string) {
    const [replica] = await startReplicas(workplace, 1, {
      args: ['--shared', url],
      upstream: 'http://127.0.0.1:9',
    });
    if (!replica) throw new Error('no replica');
    await expect.poll(() => readiness(replica)).toEqual([200, 'ready\n']);
  }

  test('is found by a Sentinel', async () => {
    const { port } = await startRedis(workplace);
    const sentinel = await startSentinel(workplace, 'mymaster', port);
    await isReached(`redis+sentinel://127.0.0.1:${sentinel}/mymaster`);
  });

  test('is found in a cluster', async () => {
    // By default the port + 10000, which the kernel may have assigned to a connection.
    const bus = String(await freePort());
    const redis = await startRedis(workplace, {
      args: ['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1', '--cluster-port', bus],
    });
    await redis.cli('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
    await expect.poll(() => redis.cli('CLUSTER', 'INFO')).toContain('cluster_state:ok');
    await isReached(`redis+cluster://127.0.0.1:${redis.port}`);
  });

  test('does not keep a process alive whose start fails for another reason', async () => {
    const { port } = await startRedis(workplace);
    const words = ['--shared', `redis://127.0.0.1:${port}`, '--token-key', join(workplace.directory, 'key')];
    const { status } = await command(
      [
        'serve',
        '--listen',
        '127.0.0.1:0',
        '--data',
        workplace.folder('f'),
        '--images',
        '/nonexistent',
        ...words,
      ],
      { timeoutMs: 60_000 },
    );
    expect(status).toBe(1);
  });

  test.each<[string, readonly string[], RegExp]>([
    ['without a key that the replicas have in common', ['--shared', 'redis://127.0.0.1'], /--token-key FILE/],
    [
      'with a password on the command line',
      ['--shared', 'redis://:hush@127.0.0.1', '--token-key', 'k'],
      /--shared-password FILE/,
    ],
    [
      'that is not a URL of Redis',
      ['--shared', 'http://:hush@127.0.0.1', '--token-key', 'k'],
      /it is not redis:\/\//,
    ],
  ])('%s ends the start with status 2, and shows no secret', async (_name, words, said) => {
    mkdirSync(join(workplace.directory, 'd'), { recursive: true });
    const { status, stderr } = await command([
      'serve',
      '--listen',
      '127.0.0.1:0',
      '--data',
      join(workplace.directory, 'd'),
      ...words,
    ]);
    expect(status).toBe(2);
    expect(stderr).toMatch(said);
    expect(stderr).not.toContain('hush');
  });
});
