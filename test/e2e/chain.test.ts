import { afterAll, beforeAll, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts';
import { type PushedIndex, pushIndex } from '../support/image-set.ts';
import { type Metahub, startMetahub } from '../support/metahub.ts';
import { describeWith } from '../support/required-programs.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const LIST = 'application/vnd.docker.distribution.manifest.list.v2+json';
const MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';

interface ManifestJson {
  readonly manifests: readonly {
    readonly digest: string;
    readonly platform: { readonly architecture: string };
  }[];
  readonly layers: readonly { readonly digest: string }[];
}

describeWith(
  ['docker-registry', 'gcc'],
  'a chain: MetaHub, distribution as pull-through cache, registry',
  () => {
    let workplaces: readonly Workplace[];
    let hub: DockerRegistry;
    let cache: DockerRegistry;
    let bench: PushedIndex;
    let metahub: Metahub;

    beforeAll(async () => {
      workplaces = [openWorkplace(), openWorkplace()];
      const [front, back] = workplaces as [Workplace, Workplace];
      hub = await startDockerRegistry(back);
      bench = await pushIndex(back, hub, 'qnib/bench', 'docker', [
        { optimizedFor: 'generic' },
        { optimizedFor: 'cpu:skylake', features: ['cpu:skylake'] },
        { optimizedFor: 'cpu:broadwell', features: ['cpu:broadwell'] },
        { optimizedFor: 'arm64', architecture: 'arm64', variant: 'v8' },
      ]);
      cache = await startDockerRegistry(front, { proxy: { remoteurl: hub.url } });
      metahub = await startMetahub(front, { upstream: cache.url, host: 'cpu:broadwell' });
    });
    afterAll(async () => {
      for (const workplace of workplaces ?? []) await workplace.close();
    });

    const ask = (path: string, accept: string) =>
      fetch(`${metahub.url}/v2/qnib/bench/${path}`, { headers: { accept } });
    const json = async (path: string, accept: string) =>
      (await (await ask(path, accept)).json()) as ManifestJson;

    test('the cache passes on the whole index, from which MetaHub chooses the entry that fits', async () => {
      const { manifests } = await json('manifests/latest', LIST);
      expect(manifests.map(({ digest, platform }) => [platform.architecture, digest])).toEqual([
        ['amd64', bench.entry('cpu:broadwell')],
        ['arm64', bench.entry('arm64')],
      ]);
      const asked = () => cache.requests().filter((request) => request.includes('/manifests/'));
      await expect
        .poll(asked)
        .toEqual(['HEAD /v2/qnib/bench/manifests/latest', `GET /v2/qnib/bench/manifests/${bench.digest}`]);
    });

    test('MetaHub and the cache deliver the chosen image, and the cache gets one request for a layer', async () => {
      const { layers } = await json(`manifests/${bench.entry('cpu:broadwell')}`, MANIFEST);
      const digest = layers[0]?.digest ?? '';
      for (const _ of [1, 2]) {
        const blob = Buffer.from(await (await ask(`blobs/${digest}`, '*/*')).arrayBuffer());
        expect(digestOf(blob)).toBe(digest);
      }
      const asked = cache.requests().filter((request) => request === `GET /v2/qnib/bench/blobs/${digest}`);
      expect(asked).toHaveLength(1);
    });

    test('a pull succeeds while the registry behind the cache is down', async () => {
      await hub.stop();
      const { manifests } = await json('manifests/latest', LIST);
      expect(manifests[0]?.digest).toBe(bench.entry('cpu:broadwell'));
    });
  },
);
