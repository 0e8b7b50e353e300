import { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import {
  addFlags,
  resolveSettings,
  type SettingSources,
  variableOf,
} from '../../../src/cli/settings/setting.ts';
import { DurationMs, Listen, SizeBytes, Switch, TextList } from '../../../src/cli/settings/values.ts';
import { ConfigError } from '../../../src/lib/config-error.ts';
import { readValue } from '../../../src/lib/config-source.ts';
import { choice } from '../../../src/lib/schema.ts';

const readListen = (value: unknown) => readValue(Listen, value);
const readSizeBytes = (value: unknown) => readValue(SizeBytes, value);
const readDurationMs = (value: unknown) => readValue(DurationMs, value);

const TABLE = {
  listen: {
    flags: '--listen <host:port>',
    help: 'where',
    fallback: () => readListen('5080'),
    schema: Listen,
  },
  cacheSize: { flags: '--cache-size <size>', help: 'how much', fallback: () => 1, schema: SizeBytes },
  set: { flags: '--set <feature>', repeatable: true, help: 'instead', fallback: () => [], schema: TextList },
} as const;

const NOTHING: SettingSources = { flags: {}, environment: {}, file: {}, filePath: 'config.yaml' };

describe('resolveSettings()', () => {
  test('prefers the flag to the variable, that to the file, and that to the default, and says which', () => {
    const sources = [
      [
        {
          ...NOTHING,
          flags: { cacheSize: '4' },
          environment: { METAHUB_CACHE_SIZE: '3' },
          file: { cacheSize: 2 },
        },
        4,
        'flag',
      ],
      [{ ...NOTHING, environment: { METAHUB_CACHE_SIZE: '3' }, file: { cacheSize: 2 } }, 3, 'environment'],
      [{ ...NOTHING, file: { cacheSize: 2 } }, 2, 'file'],
      [{ ...NOTHING, environment: { METAHUB_CACHE_SIZE: '' } }, 1, 'default'],
    ] as const;
    for (const [given, value, origin] of sources) {
      const { values, origins } = resolveSettings(TABLE, given);
      expect([values.cacheSize, origins.cacheSize]).toEqual([value, origin]);
    }
  });

  test('names the place of a bad value, and exits with a usage error', () => {
    const bad = { ...NOTHING, file: { cacheSize: 'much' } };
    expect(() => resolveSettings(TABLE, bad)).toThrow(/^config\.yaml: cacheSize: “much” is not a size/);
    expect(() => resolveSettings(TABLE, { ...NOTHING, flags: { listen: 'here' } })).toThrow(
      expect.objectContaining({
        message: '--listen: “here” is not a HOST:PORT, such as 127.0.0.1:5080',
        nextStep: '--listen <host:port>: where',
      }),
    );
  });

  test('refuses an unknown key of the file, and lists the known ones', () => {
    try {
      resolveSettings(TABLE, { ...NOTHING, file: { cachesize: '1G' } });
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(ConfigError);
      expect(error).toMatchObject({ code: 'unknown-key', nextStep: expect.stringContaining('cacheSize') });
    }
  });

  test('a repeatable setting is a list from every source', () => {
    const environment = { METAHUB_SET: 'cpu:zen4 nvcap:9.0' };
    expect(resolveSettings(TABLE, { ...NOTHING, environment }).values.set).toEqual(['cpu:zen4', 'nvcap:9.0']);
    expect(resolveSettings(TABLE, { ...NOTHING, file: { set: 'cpu:zen4' } }).values.set).toEqual([
      'cpu:zen4',
    ]);
  });
});

test('addFlags() leaves an absent flag undefined, and collects the values of a repeated one', () => {
  const command = new Command().exitOverride();
  addFlags(command, TABLE);
  command.parse(['--set', 'a', '--set', 'b'], { from: 'user' });
  expect(command.opts()).toEqual({ set: ['a', 'b'] });
});

test('variableOf() spells a setting as an environment variable', () => {
  expect(variableOf('onNoMatch')).toBe('METAHUB_ON_NO_MATCH');
});

describe('values', () => {
  test.each([
    ['127.0.0.1:5080', { host: '127.0.0.1', port: 5080 }],
    ['[::1]:80', { host: '::1', port: 80 }],
    [':0', { host: '127.0.0.1', port: 0 }],
    ['5080', { host: '127.0.0.1', port: 5080 }],
    ['mirror.site:443', { host: 'mirror.site', port: 443 }],
  ])('%s is an address to listen on', (text, address) => {
    expect(readListen(text)).toEqual(address);
  });
  test.each(['', 'host', '127.0.0.1:99999', '::1:80', 'a:b'])('%j is not an address to listen on', (text) => {
    expect(() => readListen(text)).toThrow(/is not a HOST:PORT/);
  });
  test.each([
    ['50GiB', 53_687_091_200],
    ['500M', 500_000_000],
    ['1.5k', 1500],
    [1024, 1024],
  ])('%s is a size', (value, bytes) => {
    expect(readSizeBytes(value)).toBe(bytes);
  });
  test.each([
    ['30s', 30_000],
    ['250ms', 250],
    ['0', 0],
    [0, 0],
  ])('%s is a duration', (value, ms) => {
    expect(readDurationMs(value)).toBe(ms);
  });
  test('a bare number is not a duration, a word no switch, and a choice must be one of its words', () => {
    expect(() => readDurationMs('30')).toThrow(/30s/);
    expect(() => readValue(Switch, 'maybe')).toThrow(/on nor off/);
    expect(() => readValue(choice('proxy', 'redirect'), 'both')).toThrow(/proxy, redirect/);
  });
});
