import { describe, expect, test } from 'vitest';
import { resolveSettings, type SettingTable } from '../../../src/cli/settings/setting.ts';
import { SERVE_SETTINGS } from '../../../src/cli/settings/table.ts';
import { readValue } from '../../../src/lib/config-source.ts';

function resolve(environment: Record<string, string>) {
  return resolveSettings(SERVE_SETTINGS, { flags: {}, environment, file: {}, filePath: undefined }).values;
}

describe('the settings of metahub serve', () => {
  test('listen on loopback and need no logins by default', () => {
    const values = resolve({});
    expect(values.listen).toEqual({ host: '127.0.0.1', port: 5080 });
    expect(values).toMatchObject({ insecureLogins: false, staticMachines: false, cache: 'on' });
  });

  test('read each value back unchanged from its written form', () => {
    const values: Readonly<Record<string, unknown>> = resolve({
      METAHUB_SHARED: 'rediss://replica@redis.example.org:6380/2',
    });
    for (const [name, { format, schema }] of Object.entries(SERVE_SETTINGS as SettingTable)) {
      if (format !== undefined)
        expect(readValue(schema, format(values[name] as never)), name).toEqual(values[name]);
    }
  });

  test('accept sizes, durations and switches from the environment too', () => {
    const values = resolve({
      METAHUB_CACHE_SIZE: '2GiB',
      METAHUB_TAG_MAX_AGE: '1m',
      METAHUB_CACHE: 'off',
      METAHUB_SET: 'cpu:broadwell nvcap:5.2',
    });
    expect(values).toMatchObject({ cacheSize: 2 ** 31, tagMaxAge: 60_000, cache: 'off' });
    expect(values.set).toEqual(['cpu:broadwell', 'nvcap:5.2']);
  });
});
