import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { digestOf } from '../../src/oci/digest.ts';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts';
import { type PushedIndex, pushIndex } from '../support/image-set.ts';
import type { Metahub } from '../support/metahub.ts';
import { OBJECT_STORAGE, type ObjectStorage, startObjectStorage } from '../support/object-storage.ts';
import { startRedis } from '../support/redis.ts';
import { startReplicas } from '../support/replicas.ts';
import { describeWith } from '../support/required-programs.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const ACCEPT = 'application/vnd.oci.image.index.v1+json';

/** The YAML examples below a heading of docs/replicas.md. */
function examplesBelow(heading: string): readonly string[] {
  const text = readFileSync(new URL('../../docs/replicas.md', import.meta.url), 'utf8');
  const [section = ''] = text.slice(text.indexOf(`\n${heading}\n`) + 1).split(/\n## (?!#)/);
  return [...section.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, yaml = '']) => yaml);
}

/** Every file below a folder, however deep. */
function filesBelow(folder: string): readonly string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
}

describeWith(
  ['docker-registry', 'gcc', 'redis-server', ...OBJECT_STORAGE],
  'replicas in front of a registry that keeps the blobs in S3',
  () => {
    const [settings = '', distribution = ''] = examplesBelow('## Blobs');
    let back: Workplace;
    let front: Workplace;
    let storage: ObjectStorage;
    let hub: DockerRegistry;
    let cache: DockerRegistry;
    let bench: PushedIndex;
    let sharedUrl: string;

    beforeAll(async () => {
      [back, front] = [openWorkplace(), openWorkplace()];
      storage = await startObjectStorage(back);
      for (const bucket of ['hub', 'hub-cache']) await storage.makeBucket(bucket);
      hub = await startDockerRegistry(back, { storage: { s3: { ...storage.s3, bucket: 'hub' } } });
      bench = await pushIndex(back, hub, 'qnib/bench', 'oci', [
        { optimizedFor: 'generic' },
        { optimizedFor: 'x86-64-v3', variant: 'v3' },
      ]);
      // The document's configuration, with a hub and an object storage that are here.
      const written = parse(distribution);
      expect(written).toMatchObject({
        storage: { s3: { region: 'eu-central-1', bucket: 'hub-cache' } },
        proxy: { remoteurl: 'https://registry-1.docker.io' },
      });
      cache = await startDockerRegistry(front, {
        storage: { s3: { ...written.storage.s3, ...storage.s3 } },
        proxy: { remoteurl: hub.url },
      });
      sharedUrl = `redis://127.0.0.1:${(await startRedis(front)).port}`;
    });
    afterAll(async () => {
      await front?.close();
      await back?.close();
    });

    const UPSTREAMS = {
      'a pull-through cache': () => cache,
      'a registry that redirects to its storage': () => hub,
    } as const;

    describe.each([
      ['a pull-through cache', 'transit'],
      ['a pull-through cache', 'off'],
      ['a registry that redirects to its storage', 'transit'],
      ['a registry that redirects to its storage', 'off'],
    ] as const)('%s, with cache: %s', (kind, mode) => {
      let workplace: Workplace;
      let replicas: readonly Metahub[];

      beforeAll(async () => {
        workplace = openWorkplace();
        const file = join(workplace.directory, 'config.yaml');
        const written = settings
          .replace('https://cache.example.org', UPSTREAMS[kind]().url)
          .replace('s3.example.org', new URL(storage.url).host)
          .replace('cache: transit', `cache: ${mode}`);
        expect(written).toContain(`cache: ${mode}`);
        writeFileSync(file, written);
        const args = ['--config', file, '--shared', sharedUrl];
        replicas = await startReplicas(workplace, 2, { host: 'cpu:broadwell', args });
      });
      afterAll(() => workplace?.close());

      const ask = (at: number, path: string) =>
        fetch(`${replicas[at]?.url}/v2/qnib/bench/${path}`, { headers: { accept: ACCEPT } });

      test('one replica delivers what another has announced, down to the layers', async () => {
        const announced = await fetch(`${replicas[0]?.url}/v2/qnib/bench/manifests/latest`, {
          method: 'HEAD',
          headers: { accept: ACCEPT },
        });
        const digest = announced.headers.get('docker-content-digest') ?? '';
        expect(digest).not.toBe(bench.digest);
        const index = (await (await ask(1, `manifests/${digest}`)).json()) as {
          readonly manifests: readonly { readonly digest: string }[];
        };
        expect(index.manifests.map((one) => one.digest)).toEqual([bench.entry('x86-64-v3')]);
        const manifest = (await (await ask(0, `manifests/${bench.entry('x86-64-v3')}`)).json()) as {
          readonly layers: readonly { readonly digest: string }[];
        };
        const layer = manifest.layers[0]?.digest ?? '';
        for (const at of [0, 1]) {
          const answer = await ask(at, `blobs/${layer}`);
          const bytes = Buffer.from(await answer.arrayBuffer());
          expect(answer.status, bytes.subarray(0, 300).toString()).toBe(200);
          expect(digestOf(bytes)).toBe(layer);
        }
        const isKept = () =>
          replicas.flatMap(({ data }) => filesBelow(data)).some((name) => layer.endsWith(`:${name}`));
        await expect.poll(isKept).toBe(mode === 'transit');
        expect(UPSTREAMS[kind]().requests()).toContain(`GET /v2/qnib/bench/blobs/${layer}`);
        const name = `docker/registry/v2/blobs/sha256/${layer.slice(7, 9)}/${layer.slice(7)}/data`;
        const bucket = kind === 'a pull-through cache' ? 'hub-cache' : 'hub';
        await expect.poll(() => storage.list(bucket)).toContain(name);
      });
    });

    test('the registry that redirects names a signed location of its storage', async () => {
      const accept = 'application/vnd.oci.image.manifest.v1+json';
      const answer = await fetch(`${hub.url}/v2/qnib/bench/manifests/${bench.entry('generic')}`, {
        headers: { accept },
      });
      const { layers } = (await answer.json()) as { readonly layers: readonly { readonly digest: string }[] };
      const blob = `${hub.url}/v2/qnib/bench/blobs/${layers[0]?.digest}`;
      const { status, headers } = await fetch(blob, { redirect: 'manual' });
      const location = headers.get('location') ?? '';
      expect([status, location.startsWith(`${storage.url}/hub/`)]).toEqual([307, true]);
      expect(location).toContain('X-Amz-Signature=');
    });
  },
);
