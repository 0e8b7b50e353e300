import { describe, expect, test } from 'vitest';
import { installedService } from '../../../src/cli/settings/installed-service.ts';
import { resolveSettings } from '../../../src/cli/settings/setting.ts';
import { SERVE_SETTINGS } from '../../../src/cli/settings/table.ts';
import { writeTree } from '../../support/host-tree.ts';

const UNIT = { 'usr/lib/systemd/system/metahub.service': '' };

describe('the installed service', () => {
  test('gives root its data, the detected profile and the environment of its unit', () => {
    const root = writeTree({
      ...UNIT,
      'run/metahub/profile.json': '{}',
      'etc/default/metahub': '# comment\nMETAHUB_TAG_MAX_AGE=7s\nMETAHUB_NAME="a.example b.example"\n',
    });
    expect(installedService(root, 0)).toEqual({
      values: { data: '/var/cache/metahub', profile: '/run/metahub/profile.json' },
      environment: { METAHUB_TAG_MAX_AGE: '7s', METAHUB_NAME: 'a.example b.example' },
    });
  });

  test('needs neither an environment file nor a profile', () => {
    expect(installedService(writeTree(UNIT), 0)).toEqual({
      values: { data: '/var/cache/metahub' },
      environment: {},
    });
  });

  test('does not apply to commands of other users, and does not exist without its unit', () => {
    expect(installedService(writeTree(UNIT), 1000)).toBeUndefined();
    expect(installedService(writeTree({ 'etc/default/metahub': '' }), 0)).toBeUndefined();
  });

  test.each([
    ['a flag', { flags: { data: '/flag' } }, ['flag', '/flag']],
    ['a variable', { environment: { METAHUB_DATA: '/variable' } }, ['environment', '/variable']],
    ['the file', { file: { data: '/file' } }, ['file', '/file']],
    ['nothing', {}, ['service', '/service']],
  ])('has the right data directory when %s sets another one', (_, given, expected) => {
    const { values, origins } = resolveSettings(SERVE_SETTINGS, {
      ...{ flags: {}, environment: {}, file: {}, filePath: undefined },
      service: { data: '/service' },
      ...given,
    });
    expect([origins.data, values.data]).toEqual(expected);
  });
});
