import { once } from 'node:events';
import { existsSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { buildHeldOpen } from '../support/held-open.ts';
import { serveContent } from '../support/hostile-registry.ts';
import { closeOf } from '../support/loopback.ts';
import { startMetahub } from '../support/metahub.ts';
import { describeWith } from '../support/required-programs.ts';
import { ask, dial } from '../support/served.ts';
import { buildClockShift } from '../support/shifted-clock.ts';
import { type HeldImage, startWholeMirror, type WholeMirror } from '../support/whole-mirror.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

// What happens to `metahub serve`, a process of its own, in the middle of pulls.

let workplace: Workplace;
beforeEach(() => {
  workplace = openWorkplace();
});
afterEach(() => workplace.close());

const blobPath = ({ layer }: HeldImage) => `/v2/team/app/blobs/${layer}`;
const manifestPath = ({ tag }: HeldImage) => `/v2/team/app/manifests/${tag}`;

/** Does the request resume a blob? One from byte 0 is the first. */
const isForRest = (range: string | undefined) => range !== undefined && !range.startsWith('bytes=0-');

/** The registry sends half of every layer and the rest when it is released. */
function holdHalfWay({ content, behave }: WholeMirror) {
  const honest = serveContent(content);
  const waiting: (() => void)[] = [];
  let isReleased = false;
  behave((request, response) => {
    const bytes = content.blobs.get((request.url ?? '').split('/').at(-1) ?? '');
    if (bytes === undefined || bytes.length < 100_000 || isReleased || isForRest(request.headers.range)) {
      return honest(request, response);
    }
    response.writeHead(200, { 'content-length': bytes.length });
    response.write(bytes.subarray(0, bytes.length >> 1));
    waiting.push(() => response.end(bytes.subarray(bytes.length >> 1)));
  });
  return {
    asked: () => waiting.length,
    release: () => {
      isReleased = true;
      for (const goOn of waiting.splice(0)) goOn();
    },
  };
}

/** Begins to pull a layer; resolves once the first bytes of it are there. */
async function beginPull(port: number, image: HeldImage) {
  const socket = dial(port);
  let received = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
  });
  const ended = closeOf(socket);
  socket.write(`GET ${blobPath(image)} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n`);
  await expect.poll(() => received.length).toBeGreaterThan(1000);
  return {
    /** The body, when the connection has ended. */
    body: async () => {
      await ended;
      return received.subarray(received.indexOf('\r\n\r\n') + 4);
    },
  };
}

describe('fault 35: kill -9 mid-write', () => {
  test('a restarted mirror serves no part of a blob as the blob, and fetches it again', async () => {
    const mirror = await startWholeMirror(workplace);
    const image = mirror.push(3_000_000);
    const { release } = holdHalfWay(mirror);
    const pull = await beginPull(mirror.port, image);
    await mirror.metahub.killAndRestart();
    expect((await pull.body()).length).toBeLessThan(image.layerBytes.length);
    release();
    expect((await ask(mirror.port, blobPath(image))).body.equals(image.layerBytes)).toBe(true);
    expect(mirror.metahub.log()).toContain('removed half-written files of an earlier run');
  });
});

describe('fault 40: two daemons on one store', () => {
  test('both daemons serve every byte, each finds what the other has fetched, and one can end', async () => {
    const one = await startWholeMirror(workplace);
    const two = await startMetahub(workplace, { upstream: one.registryUrl, args: ['--tag-max-age', '0'] });
    const ports = [one.port, Number(new URL(two.url).port)];
    const images = Array.from({ length: 8 }, () => one.push(400_000));
    await Promise.all(
      images.flatMap((image) =>
        ports.map(async (port) => {
          expect((await ask(port, manifestPath(image))).headers['docker-content-digest']).toBe(
            image.manifest,
          );
          expect((await ask(port, blobPath(image))).body.equals(image.layerBytes)).toBe(true);
        }),
      ),
    );
    const [first] = images;
    const late = one.push();
    await ask(ports[0] ?? 0, manifestPath(late));
    await ask(ports[0] ?? 0, blobPath(late));
    await one.metahub.stop();
    await one.closeRegistry();
    for (const image of [first, late]) {
      if (!image) throw new Error('unreachable');
      expect((await ask(ports[1] ?? 0, manifestPath(image))).status).toBe(200);
      expect((await ask(ports[1] ?? 0, blobPath(image))).body.equals(image.layerBytes)).toBe(true);
    }
  });
});

describe('fault 41: SIGTERM mid-pull', () => {
  test('the mirror accepts no new pull, and exits with 0 when the running one is complete', async () => {
    const mirror = await startWholeMirror(workplace);
    const image = mirror.push(2_000_000);
    const { release } = holdHalfWay(mirror);
    const pull = await beginPull(mirror.port, image);
    const stopped = mirror.metahub.stop();
    await expect.poll(() => mirror.metahub.log()).toContain('stopping');
    await expect.poll(() => ask(mirror.port, '/v2/').catch(({ code }) => code)).toBe('ECONNREFUSED');
    release();
    expect((await pull.body()).equals(image.layerBytes)).toBe(true);
    expect(await stopped).toBe(0);
  });

  test('the mirror aborts a pull that takes longer than --drain-timeout, and exits with 0', async () => {
    const mirror = await startWholeMirror(workplace, { args: ['--drain-timeout', '300ms'] });
    const image = mirror.push(2_000_000);
    holdHalfWay(mirror);
    const pull = await beginPull(mirror.port, image);
    expect(await mirror.metahub.stop()).toBe(0);
    expect((await pull.body()).length).toBeLessThan(image.layerBytes.length);
    expect(mirror.metahub.log()).toContain('"event":"pulls-cut"');
  });
});

describe('fault 42: reload mid-pull', () => {
  test('a running pull continues after SIGHUP, and invalid settings change nothing', async () => {
    const config = join(workplace.directory, 'config.yaml');
    writeFileSync(config, 'match: best\n');
    const mirror = await startWholeMirror(workplace, { args: ['--config', config] });
    const image = mirror.push(2_000_000);
    const { release } = holdHalfWay(mirror);
    const pull = await beginPull(mirror.port, image);
    mirror.metahub.reload();
    await expect.poll(() => mirror.metahub.log()).toContain('"event":"reloaded"');
    writeFileSync(config, 'match: [\n');
    mirror.metahub.reload();
    await expect.poll(() => mirror.metahub.log()).toContain('"event":"reload-refused"');
    release();
    expect((await pull.body()).equals(image.layerBytes)).toBe(true);
    expect((await ask(mirror.port, manifestPath(image))).status).toBe(200);
  });
});

describeWith(['gcc'], 'fault 42: a reload during a reload', () => {
  test('after two SIGHUPs, of which the first is slow to read, the last settings apply', async () => {
    const images = workplace.folder('images');
    const file = join(images, 'list.yml');
    const next = join(workplace.directory, 'next');
    const list = (tag: string) =>
      `image: docker.io/team/list\ntags: [${tag}]\nmanifests: [{ image: docker.io/team/app:v1 }]\n`;
    const held = await buildHeldOpen(workplace, file);
    const mirror = await startWholeMirror(workplace, { args: ['--images', images], env: held.env });
    writeFileSync(file, list('former'));
    held.arm();
    mirror.metahub.reload();
    await expect.poll(() => existsSync(held.begun)).toBe(true);
    writeFileSync(next, list('latter'));
    renameSync(next, file);
    mirror.metahub.reload();
    // Turns enough for the second to end in, did it not wait.
    for (let turn = 0; turn < 5; turn += 1) await ask(mirror.port, '/readyz');
    rmSync(held.begun);
    await expect.poll(() => mirror.metahub.log().match(/"event":"reloaded"/g)).toHaveLength(2);
    const { body } = await ask(mirror.port, '/v2/team/list/tags/list');
    expect(JSON.parse(body.toString())).toMatchObject({ tags: ['latter'] });
  });
});

describeWith(['gcc'], 'fault 43: the clock one year off', () => {
  const YEAR = 365 * 24 * 3600;

  test.each([
    ['forward', YEAR],
    ['back', -YEAR],
  ])(
    'after a restart with the clock a year %s everything is still stored, served and renewed',
    async (_, seconds) => {
      const shift = await buildClockShift(workplace);
      const mirror = await startWholeMirror(workplace);
      const [image, later] = [mirror.push(), mirror.push()];
      await ask(mirror.port, manifestPath(image));
      await ask(mirror.port, blobPath(image));
      await mirror.metahub.stop();
      const off = await startMetahub(workplace, { upstream: mirror.registryUrl, env: shift(seconds) });
      const port = Number(new URL(off.url).port);
      const { headers } = await ask(port, '/v2/');
      // It does believe in another time.
      expect(Math.abs(Date.parse(String(headers['date'])) - Date.now())).toBeGreaterThan(YEAR * 900);
      const before = mirror.requests().length;
      expect((await ask(port, blobPath(image))).body.equals(image.layerBytes)).toBe(true);
      expect(mirror.requests().slice(before)).toEqual([]);
      expect((await ask(port, blobPath(later))).body.equals(later.layerBytes)).toBe(true);
      await mirror.closeRegistry();
      expect((await ask(port, manifestPath(image))).status).toBe(200);
      expect((await ask(port, blobPath(later))).body.equals(later.layerBytes)).toBe(true);
      expect(await off.stop()).toBe(0);
    },
  );
});

describe('fault 44: a hundred clients, one blob', () => {
  test('every client of a mirror gets every byte, and the registry gets one request', async () => {
    const mirror = await startWholeMirror(workplace);
    const image = mirror.push(2_000_000);
    const { release, asked } = holdHalfWay(mirror);
    const pulls = Array.from({ length: 100 }, () => ask(mirror.port, blobPath(image)));
    await expect.poll(asked).toBe(1);
    release();
    for (const { body } of await Promise.all(pulls)) expect(digestOf(body)).toBe(image.layer);
    expect(mirror.requests().filter((line) => line.includes('/blobs/'))).toEqual([`GET ${blobPath(image)}`]);
  });
});

describe('fault 45: the first client leaves', () => {
  test('the second client of a mirror gets the whole blob, from one fetch', async () => {
    const mirror = await startWholeMirror(workplace);
    const image = mirror.push(2_000_000);
    const { release } = holdHalfWay(mirror);
    const first = dial(mirror.port);
    first.write(`GET ${blobPath(image)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
    await once(first, 'data');
    const second = ask(mirror.port, blobPath(image));
    first.destroy();
    release();
    expect((await second).body.equals(image.layerBytes)).toBe(true);
    expect(mirror.requests().filter((line) => line.includes('/blobs/'))).toHaveLength(1);
  });
});
