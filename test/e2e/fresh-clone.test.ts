import { cpSync, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { run, startServer } from '../support/processes.ts';
import { describeWith } from '../support/required-programs.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const CLONE = fileURLToPath(new URL('../..', import.meta.url));

/** Copies what a clone of the working tree as it is now would hold: no packages, nothing built. */
async function copyClone(target: string): Promise<void> {
  const listed = await run('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: CLONE,
  });
  for (const file of listed.split('\0')) {
    if (file !== '' && existsSync(join(CLONE, file))) cpSync(join(CLONE, file), join(target, file));
  }
}

describeWith(['git', 'npm'], 'npm start in a fresh clone', () => {
  let workplace: Workplace;
  afterAll(() => workplace?.close());

  test('installs, builds, says what this host is and how to point dockerd at it, and serves', async () => {
    workplace = openWorkplace();
    const clone = workplace.folder('clone');
    await copyClone(clone);
    expect(existsSync(join(clone, 'node_modules'))).toBe(false);
    const server = await startServer({
      command: 'npm',
      args: ['start'],
      cwd: clone,
      env: { METAHUB_LISTEN: '127.0.0.1:0', XDG_CACHE_HOME: workplace.folder('cache'), NO_COLOR: '1' },
      ready: /listening\b.*?(http:\/\/127\.0\.0\.1:\d+)","pid":(\d+)/,
      timeoutMs: 150_000,
    });
    workplace.onClose(async () => {
      // npm ends with its child; it does not pass a signal on to it.
      process.kill(Number(server.announced[2]), 'SIGTERM');
      await server.stop();
    });
    const url = server.announced[1] ?? '';
    expect((await fetch(`${url}/v2/`)).status).toBe(200);
    expect(server.output()).toMatch(/cpu:|microarchitecture/i);
    expect(server.output()).toContain('registry-mirror');
  });

  test('npm pack makes a package that works with only its own dependencies installed', async () => {
    const [clone, prefix] = [join(workplace.directory, 'clone'), workplace.folder('prefix')];
    const packed = await run('npm', ['pack', '--silent', '--pack-destination', prefix], { cwd: clone });
    const archive = join(prefix, packed.trim());
    await run('npm', ['install', '--global', '--silent', '--prefix', prefix, archive], { cwd: prefix });

    const installed = join(prefix, 'lib/node_modules/metahub');
    expect(readdirSync(join(installed, 'systemd'))).toContain('metahub.service');
    expect(existsSync(join(installed, 'docs/site.md'))).toBe(true);
    expect(existsSync(join(installed, 'node_modules/typescript'))).toBe(false);
    expect(readdirSync(join(prefix, 'share/man/man1'))).toEqual(['metahub.1']);

    const metahub = join(prefix, 'bin/metahub');
    expect(JSON.parse(await run(metahub, ['detect', '--json'])).platform.os).toBe('linux');
    const server = await startServer({
      command: metahub,
      args: ['serve', '--listen', '127.0.0.1:0', '--data', workplace.folder('data')],
      cwd: prefix,
      ready: /listening\b.*?(http:\/\/127\.0\.0\.1:\d+)/,
    });
    workplace.onClose(() => server.stop());
    expect((await fetch(`${server.announced[1]}/v2/`)).status).toBe(200);
  });
});
