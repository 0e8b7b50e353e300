import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { resolveSettings } from '../../../src/cli/settings/setting.ts';
import { defaultListen, settingVariables } from '../../../src/cli/settings/surroundings.ts';
import { SERVE_SETTINGS } from '../../../src/cli/settings/table.ts';
import { attempt } from '../../support/processes.ts';
import { openWorkplace } from '../../support/workplace.ts';

const SURROUNDINGS = fileURLToPath(new URL('../../../src/cli/settings/surroundings.ts', import.meta.url));
const PROGRAM = fileURLToPath(new URL('../../../bin/metahub.js', import.meta.url));

describe('defaultListen()', () => {
  test.each([
    ['on a host: loopback', {}, '127.0.0.1:5080'],
    ['in its container image: every address', { METAHUB_CONTAINER: 'on' }, '0.0.0.0:5080'],
    [
      'of the demonstration in its container image: loopback',
      { METAHUB_CONTAINER: 'on', STATIC_MACHINES: 'true' },
      '127.0.0.1:5080',
    ],
    [
      'of the demonstration by its own variable: loopback',
      { METAHUB_CONTAINER: 'on', METAHUB_STATIC_MACHINES: 'on' },
      '127.0.0.1:5080',
    ],
  ])('returns the default address %s', (_, environment, expected) => {
    expect(defaultListen(environment)).toBe(expected);
  });
});

describe('the variable PORT', () => {
  const listen = (environment: Record<string, string>, file: Record<string, unknown> = {}) =>
    resolveSettings(SERVE_SETTINGS, {
      flags: {},
      environment: settingVariables(environment),
      file,
      filePath: '/etc/metahub/config.yaml',
    }).values.listen;

  test('replaces the port of the default address', () => {
    expect(listen({ PORT: '8080' })).toEqual({ host: '127.0.0.1', port: 8080 });
    expect(listen({ PORT: '8080', METAHUB_CONTAINER: 'on' })).toEqual({ host: '0.0.0.0', port: 8080 });
  });

  test('overrides the file, as every variable does', () => {
    expect(listen({ PORT: '8080' }, { listen: '127.0.0.1:6000' }).port).toBe(8080);
  });

  test('is overridden by METAHUB_LISTEN', () => {
    expect(listen({ PORT: '8080', METAHUB_LISTEN: '127.0.0.1:7000' }).port).toBe(7000);
  });

  test.each(['tcp://10.0.0.1:5080', '', '-1', '123456'])('“%s” is refused by name', (PORT) => {
    expect(() => settingVariables({ PORT })).toThrow(`PORT is “${PORT}”, which is not a port`);
  });
});

describe('a user without a home', () => {
  const nobody = { HOME: '', XDG_CACHE_HOME: '', XDG_CONFIG_HOME: '' };

  test.skipIf(process.getuid?.() !== 0)(
    'has no home directory, also without an entry in passwd',
    async () => {
      const script = `
      process.setuid(64999);
      delete process.env.HOME;
      import(${JSON.stringify(SURROUNDINGS)}).then((m) => console.log(String(m.homeDirectory())));
    `;
      const tsx = fileURLToPath(import.meta.resolve('tsx'));
      const { stdout } = await attempt(process.execPath, ['--import', tsx, '--eval', script]);
      expect(stdout).toBe('undefined\n');
    },
  );

  test.skipIf(process.getuid?.() !== 0)('can print the settings', async () => {
    const workplace = openWorkplace();
    try {
      const drop = join(workplace.directory, 'drop.cjs');
      writeFileSync(drop, 'process.setgid(64999); process.setuid(64999); delete process.env.HOME;');
      const { status, stdout, stderr } = await attempt(
        process.execPath,
        ['--require', drop, PROGRAM, 'config', 'show'],
        { env: nobody },
      );
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      expect(stdout).toMatch(/^data {2,}\/var\/cache\/metahub$/m);
    } finally {
      await workplace.close();
    }
  });
});
