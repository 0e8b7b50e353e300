import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { type ClientRequest, request } from 'node:http';
import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { residentMibOf } from '../soak/mirror.ts';
import { describeWith } from '../support/required-programs.ts';
import { ask } from '../support/served.ts';
import { afterTest, closing } from '../support/upstream.ts';
import { startWholeMirror, type WholeMirror, type WholeMirrorOptions } from '../support/whole-mirror.ts';
import { openWorkplace } from '../support/workplace.ts';

// One client that takes all it can get of the process, and another that pulls meanwhile.

const ATTACKER = '127.0.0.66';
const MIB = 2 ** 20;
const RESIDENT_MAX_MIB = 400;

const start = (options: WholeMirrorOptions) => startWholeMirror(closing(openWorkplace()), options);

/** Handles that the mirror's process has open. */
const handlesOf = ({ metahub }: WholeMirror) => readdirSync(`/proc/${metahub.pid}/fd`).length;

/** Requests of the attacker, and how many got which status; `0`: none. */
class Attack {
  readonly #mirror: WholeMirror;
  readonly #asked = new Set<ClientRequest>();
  readonly statuses = new Map<number, number>();

  constructor(mirror: WholeMirror) {
    this.#mirror = mirror;
    afterTest(() => this.end());
  }

  count(...statuses: readonly number[]): number {
    return statuses.reduce((all, status) => all + (this.statuses.get(status) ?? 0), 0);
  }

  /** Asks, takes nothing of a 200, and answers the head. */
  ask(
    path: string,
    { method = 'GET', body }: { method?: string; body?: Buffer } = {},
  ): Promise<string | undefined> {
    const headers =
      body === undefined ? {} : { 'content-length': 64 * MIB, 'content-type': 'application/octet-stream' };
    const address = { host: '127.0.0.1', port: this.#mirror.port, localAddress: ATTACKER, agent: false };
    return new Promise((resolve) => {
      const note = (status: number, location?: string) => {
        this.statuses.set(status, (this.statuses.get(status) ?? 0) + 1);
        resolve(location);
      };
      const asked = request({ ...address, path, method, headers }, (response) => {
        if (response.statusCode !== 200) response.resume();
        note(response.statusCode ?? 0, response.headers.location);
      });
      this.#asked.add(asked.once('error', () => note(0)));
      // The rest of what it announces never comes.
      if (body === undefined) asked.end();
      else asked.write(body);
    });
  }

  end(): void {
    for (const asked of this.#asked) asked.destroy();
  }
}

describe('a client that opens as many requests as it can', () => {
  test('a thousand slow readers of a blob leave other clients their pulls, and their memory and handles are freed', async () => {
    const mirror = await start({ args: ['--log-level', 'notice'] });
    const { layer, layerBytes } = mirror.push(16 * MIB);
    const path = `/v2/team/app/blobs/${layer}`;
    expect((await ask(mirror.port, path)).body.equals(layerBytes)).toBe(true);
    const before = handlesOf(mirror);
    const attack = new Attack(mirror);
    for (let reader = 0; reader < 1000; reader += 1) void attack.ask(path);
    await expect.poll(() => attack.count(200, 503)).toBe(1000);
    expect(attack.count(503)).toBeGreaterThan(200);
    expect((await ask(mirror.port, path)).body.equals(layerBytes)).toBe(true);
    expect(residentMibOf(mirror.metahub.pid)).toBeLessThan(RESIDENT_MAX_MIB);
    attack.end();
    await expect.poll(() => handlesOf(mirror)).toBeLessThanOrEqual(before + 2);
  });

  test('a thousand stalled uploads leave other clients their pulls, and their memory and handles are freed', async () => {
    const mirror = await start({ args: ['--push', 'on', '--log-level', 'notice'] });
    const { layer, layerBytes } = mirror.push(MIB);
    mirror.behave((req, response) => {
      const { method = '', url = '' } = req;
      if (method === 'GET' || method === 'HEAD') return mirror.serveHonestly(req, response);
      req.on('error', () => {}).pause();
      if (method === 'POST') response.writeHead(202, { location: `${url}session` }).end();
    });
    const before = handlesOf(mirror);
    const attack = new Attack(mirror);
    const body = Buffer.alloc(MIB);
    const uploads = Array.from({ length: 1000 }, async () => {
      const location = await attack.ask('/v2/team/app/blobs/uploads/', { method: 'POST' });
      if (location === undefined) return;
      const { pathname, search } = new URL(location, mirror.metahub.url);
      // Some wait for an answer until the test is over.
      void attack.ask(`${pathname}${search}`, { method: 'PATCH', body });
    });
    await Promise.all(uploads);
    expect(attack.count(202)).toBeGreaterThan(200);
    const { body: pulled } = await ask(mirror.port, `/v2/team/app/blobs/${layer}`);
    expect(pulled.equals(layerBytes)).toBe(true);
    expect(residentMibOf(mirror.metahub.pid)).toBeLessThan(RESIDENT_MAX_MIB);
    attack.end();
    await expect.poll(() => handlesOf(mirror)).toBeLessThanOrEqual(before + 4);
  });
});

describeWith(['prlimit'], 'a process that may open few files', () => {
  test('limits connections so that pulls get handles, and logs that', async () => {
    const mirror = await start({ openFiles: 96 });
    expect(mirror.metahub.log()).toContain('"event":"open-files-limited"');
    const idle = Array.from({ length: 200 }, () =>
      connect({ port: mirror.port, host: '127.0.0.1', localAddress: ATTACKER }).on('error', () => {}),
    );
    afterTest(() => {
      for (const socket of idle) socket.destroy();
    });
    await Promise.all(idle.map((socket) => once(socket, 'connect').catch(() => {})));
    const images = Array.from({ length: 6 }, () => mirror.push(200_000));
    for (const { tag, layer, layerBytes } of images) {
      expect((await ask(mirror.port, `/v2/team/app/manifests/${tag}`)).status).toBe(200);
      expect((await ask(mirror.port, `/v2/team/app/blobs/${layer}`)).body.equals(layerBytes)).toBe(true);
    }
    expect(mirror.metahub.log()).not.toContain('EMFILE');
  });

  test('refuses requests without a free handle, and continues when there are some', async () => {
    const mirror = await start({ openFiles: 40 });
    const image = mirror.push(200_000);
    const attack = new Attack(mirror);
    const images = Array.from({ length: 40 }, () => mirror.push(50_000));
    mirror.behave((req, response) => {
      if (!images.some(({ layer }) => req.url?.endsWith(layer))) return mirror.serveHonestly(req, response);
      // Holds a handle of the mirror until the test continues.
      response.writeHead(200, { 'content-length': 50_000 }).flushHeaders();
    });
    for (const { layer } of images) void attack.ask(`/v2/team/app/blobs/${layer}`);
    await expect.poll(() => attack.count(0, 503)).toBeGreaterThan(20);
    expect([...attack.statuses.keys()].filter((status) => ![0, 200, 503].includes(status))).toEqual([]);
    attack.end();
    mirror.behave(undefined);
    const pull = () => ask(mirror.port, `/v2/team/app/blobs/${image.layer}`).catch(() => undefined);
    await expect.poll(async () => (await pull())?.body.equals(image.layerBytes)).toBe(true);
    expect(await mirror.metahub.stop()).toBe(0);
  });
});
