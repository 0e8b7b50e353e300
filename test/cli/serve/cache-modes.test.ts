import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { MEDIA_TYPE } from '../../../src/oci/media-type.ts';
import { startMetahub } from '../../support/metahub.ts';
import { runCli } from '../../support/run-cli.ts';
import { ask } from '../../support/served.ts';
import { closing } from '../../support/upstream.ts';
import { startWholeMirror, type WholeMirror } from '../../support/whole-mirror.ts';
import { openWorkplace } from '../../support/workplace.ts';

// docs/cache.md and `--help` say what is held, and until when.

const openMirror = async (...args: readonly string[]): Promise<WholeMirror> =>
  startWholeMirror(closing(openWorkplace()), { args });

/** Puts an index into the registry that no host is given as it is. */
function pushIndex({ content }: WholeMirror, tag: string): void {
  const entry = (features: readonly string[]) => {
    const document = { schemaVersion: 2, config: {}, layers: [], annotations: { features: features.join() } };
    const digest = content.putManifest(document, MEDIA_TYPE.ociManifest);
    const size = content.manifests.get(digest)?.bytes.length;
    const platform = { os: 'linux', architecture: 'amd64', features };
    return { mediaType: MEDIA_TYPE.ociManifest, digest, size, platform };
  };
  const manifests = [entry([]), entry(['cpu:skylake'])];
  content.putManifest({ schemaVersion: 2, manifests }, MEDIA_TYPE.ociIndex, tag);
}

const pull = ({ port }: WholeMirror, path: string) => ask(port, `/v2/team/app/${path}`);

describe('serve --cache off', () => {
  test('streams a layer to each client by a fetch of its own, and serves nothing when the registry is down', async () => {
    const mirror = await openMirror('--cache', 'off');
    const { tag, layer, layerBytes } = mirror.push();
    for (let client = 0; client < 2; client += 1) {
      expect((await pull(mirror, `manifests/${tag}`)).status).toBe(200);
      expect((await pull(mirror, `blobs/${layer}`)).body.equals(layerBytes)).toBe(true);
    }
    expect(mirror.requests().filter((asked) => asked === `GET /v2/team/app/blobs/${layer}`)).toHaveLength(2);
    await mirror.closeRegistry();
    expect((await pull(mirror, `manifests/${tag}`)).status).toBe(502);
    expect((await pull(mirror, `blobs/${layer}`)).status).toBe(502);
  });

  test('does not serve what a run with a cache has stored, and leaves it on the disk', async () => {
    const workplace = closing(openWorkplace());
    const mirror = await startWholeMirror(workplace);
    const { tag, layer } = mirror.push();
    await pull(mirror, `manifests/${tag}`);
    await pull(mirror, `blobs/${layer}`);
    await mirror.metahub.stop();
    const off = await startMetahub(workplace, { upstream: mirror.registryUrl, args: ['--cache', 'off'] });
    expect(off.data).toBe(mirror.metahub.data);
    await mirror.closeRegistry();
    const port = Number(new URL(off.url).port);
    expect((await ask(port, `/v2/team/app/manifests/${tag}`)).status).toBe(502);
    expect((await ask(port, `/v2/team/app/blobs/${layer}`)).status).toBe(502);
    expect((await runCli('cache', 'ls', '--data', off.data)).stdout).toContain('team/app');
  });

  test('delivers by digest the index that it derived, with the registry down and after a restart', async () => {
    const mirror = await openMirror('--cache', 'off');
    pushIndex(mirror, 'list');
    const derived = await pull(mirror, 'manifests/list');
    const digest = String(derived.headers['docker-content-digest']);
    await mirror.closeRegistry();
    await mirror.metahub.restart();
    const again = await pull(mirror, `manifests/${digest}`);
    expect([again.status, again.body.equals(derived.body)]).toEqual([200, true]);
  });
});

/** Waits until the blob and so many tags are on the disk: a client has its last byte before they are. */
async function isStored({ metahub }: WholeMirror, layer: string, tags: number): Promise<void> {
  const layout = join(metahub.data, 'v1');
  await expect.poll(() => existsSync(join(layout, 'blobs', layer.replace(':', '/')))).toBe(true);
  await expect.poll(() => readdirSync(join(layout, 'tags')).length).toBe(tags);
  await expect.poll(() => readdirSync(join(layout, 'incoming'))).toEqual([]);
}

function tryToRemove(directory: string): boolean {
  try {
    rmSync(directory, { recursive: true, force: true });
    return true;
  } catch {
    return false;
  }
}

describe('fault 80: content deleted beside the mirror: what is deleted while a mirror runs', () => {
  const deletions: readonly (readonly [string, (data: string) => Promise<void>])[] = [
    [
      'by metahub cache prune --all',
      async (data) => {
        expect((await runCli('cache', 'prune', '--all', '--data', data)).status).toBe(0);
      },
    ],
    [
      'with the whole directory',
      // Again from the start when the mirror writes a file meanwhile: retries of rmSync do not look for new files.
      async (data) => expect.poll(() => tryToRemove(join(data, 'v1'))).toBe(true),
    ],
  ];

  test.each(deletions)('%s is fetched again, and stored again', async (_, remove) => {
    const mirror = await openMirror();
    const { tag, layer, layerBytes } = mirror.push();
    pushIndex(mirror, 'list');
    const derived = await pull(mirror, 'manifests/list');
    await pull(mirror, `manifests/${tag}`);
    await pull(mirror, `blobs/${layer}`);
    await isStored(mirror, layer, 2);
    await remove(mirror.metahub.data);
    expect((await pull(mirror, `blobs/${layer}`)).body.equals(layerBytes)).toBe(true);
    expect((await pull(mirror, `manifests/${tag}`)).status).toBe(200);
    expect(mirror.requests().filter((asked) => asked === `GET /v2/team/app/blobs/${layer}`)).toHaveLength(2);
    const digest = derived.headers['docker-content-digest'];
    expect((await pull(mirror, `manifests/${digest}`)).body.equals(derived.body)).toBe(true);
    // Stored again: the registry is not needed.
    await mirror.closeRegistry();
    expect((await pull(mirror, `blobs/${layer}`)).body.equals(layerBytes)).toBe(true);
    expect((await pull(mirror, `manifests/${tag}`)).headers['warning']).toContain('110');
  });

  test.each(deletions)('%s is not promised to a client whose registry is down', async (_, remove) => {
    const mirror = await openMirror();
    const { tag, layer } = mirror.push();
    await pull(mirror, `manifests/${tag}`);
    await pull(mirror, `blobs/${layer}`);
    await isStored(mirror, layer, 1);
    await remove(mirror.metahub.data);
    await mirror.closeRegistry();
    expect((await pull(mirror, `manifests/${tag}`)).status).toBe(502);
    expect((await pull(mirror, `blobs/${layer}`)).status).toBe(502);
  });

  test('by one of two mirrors on one directory is fetched again by the other', async () => {
    const workplace = closing(openWorkplace());
    const mirror = await startWholeMirror(workplace);
    const beside = closing(openWorkplace());
    const data = mirror.metahub.data;
    const other = await startMetahub(beside, {
      upstream: mirror.registryUrl,
      args: ['--data', data, '--cache-size', '1'],
    });
    const { layer, layerBytes } = mirror.push();
    await pull(mirror, `blobs/${layer}`);
    // The other one has no room and makes some, of what both hold.
    const { tag } = mirror.push(1000);
    await ask(Number(new URL(other.url).port), `/v2/team/app/manifests/${tag}`);
    expect((await pull(mirror, `blobs/${layer}`)).body.equals(layerBytes)).toBe(true);
  });
});

test('a tag that the registry has deleted is answered with 404, although its image is stored', async () => {
  const mirror = await openMirror();
  const { tag, manifest } = mirror.push();
  await pull(mirror, `manifests/${tag}`);
  mirror.content.manifests.delete(tag);
  expect((await pull(mirror, `manifests/${tag}`)).status).toBe(404);
  expect((await pull(mirror, `manifests/${manifest}`)).status).toBe(200);
});
