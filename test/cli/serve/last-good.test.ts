import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { attempt, type RunningServer, startServer } from '../../support/processes.ts';
import { openWorkplace, type Workplace } from '../../support/workplace.ts';

const PROGRAM = fileURLToPath(new URL('../../../bin/metahub.js', import.meta.url));
const BROKEN = 'tagMaxAge: [7s\n';

describe('a service whose configuration is broken at the start', () => {
  let workplace: Workplace;
  let config: string;
  let images: string;
  let data: string;

  beforeEach(() => {
    workplace = openWorkplace();
    data = join(workplace.directory, 'data');
    images = workplace.folder('images.d');
    config = join(workplace.directory, 'config.yaml');
    writeFileSync(config, `images: ${images}\nname: [hub.example]\n`);
    writeFileSync(
      join(images, 'solver.yml'),
      'image: acme/solver\nmanifests: [{ image: "acme/solver:v1" }]\n',
    );
  });
  afterEach(() => workplace.close());

  const words = () => [PROGRAM, 'serve', '--listen', '127.0.0.1:0', '--data', data, '--config', config];

  async function start(): Promise<RunningServer> {
    const server = await startServer({
      command: process.execPath,
      args: words(),
      ready: /"event":"listening".*?(http:\/\/127\.0\.0\.1:\d+)/,
    });
    workplace.onClose(() => server.stop());
    return server;
  }

  /** The status of an answer to a client that calls the mirror by the name that the configuration gives it. */
  function statusByName(server: RunningServer): Promise<number | undefined> {
    return new Promise((resolve, reject) => {
      const options = { headers: { host: 'hub.example' }, agent: false };
      get(`${server.announced[1]}/v2/`, options, (response) => {
        response.resume();
        resolve(response.statusCode);
      }).once('error', reject);
    });
  }

  async function startOnceWell(): Promise<void> {
    const server = await start();
    await expect.poll(() => existsSync(join(data, 'last-good/config.yaml'))).toBe(true);
    expect(await server.stop()).toBe(0);
  }

  test('serves with the last good one, and reports an error', async () => {
    await startOnceWell();
    writeFileSync(config, BROKEN);
    const server = await start();
    expect(await statusByName(server)).toBe(200);
    const complaint = server
      .output()
      .split('\n')
      .find((line) => line.includes('last-good-configuration'));
    expect(JSON.parse(complaint ?? '{}')).toMatchObject({
      level: 'error',
      reason: expect.stringContaining(config),
      nextStep: 'Correct the file, then reload the service.',
    });
    const status = await (await fetch(`${server.announced[1]}/status.json`)).json();
    expect(status).toMatchObject({ reload: { refused: expect.stringContaining(config) } });
  });

  test('serves with the last good lists of images, too', async () => {
    await startOnceWell();
    writeFileSync(join(images, 'solver.yml'), 'image: [\n');
    expect((await start()).output()).toContain('last-good-configuration');
  });

  test('returns to its files by a reload once they are valid, and stores them', async () => {
    await startOnceWell();
    writeFileSync(config, BROKEN);
    const server = await start();
    writeFileSync(config, `images: ${images}\ntagMaxAge: 9s\n`);
    process.kill(server.pid, 'SIGHUP');
    await expect.poll(() => server.output()).toContain('"event":"reloaded"');
    await expect.poll(() => readFileSync(join(data, 'last-good/config.yaml'), 'utf8')).toContain('9s');
  });

  test('keeps a broken file from replacing the last good one', async () => {
    await startOnceWell();
    writeFileSync(config, BROKEN);
    const server = await start();
    process.kill(server.pid, 'SIGHUP');
    await expect.poll(() => server.output()).toContain('reload-refused');
    await server.stop();
    expect(readFileSync(join(data, 'last-good/config.yaml'), 'utf8')).toContain('hub.example');
  });

  test('starts with the folder that a crash has left while the files were stored', async () => {
    await startOnceWell();
    mkdirSync(join(data, 'last-good.old/images'), { recursive: true });
    writeFileSync(join(data, 'last-good.old/config.yaml'), readFileSync(join(data, 'last-good/config.yaml')));
    rmSync(join(data, 'last-good'), { recursive: true });
    writeFileSync(config, BROKEN);
    expect(await statusByName(await start())).toBe(200);
  });

  test('fails with the error of its files when there is no last good configuration', async () => {
    writeFileSync(config, BROKEN);
    const { status, stderr } = await attempt(process.execPath, words());
    expect(status).toBe(2);
    expect(stderr).toContain(config);
  });

  test('fails with the error of its files when the last good configuration fails, too', async () => {
    await startOnceWell();
    writeFileSync(config, BROKEN);
    const { status, stderr } = await attempt(process.execPath, [...words(), '--tls-cert', '/nowhere.crt']);
    expect(status).toBe(2);
    expect(stderr).toContain(config);
  });
});
