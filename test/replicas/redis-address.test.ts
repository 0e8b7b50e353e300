import { describe, expect, test } from 'vitest';
import { check } from '../../src/lib/schema.ts';
import { formatRedisAddress, RedisUrl } from '../../src/replicas/redis-address.ts';

const PLAIN = {
  kind: 'server',
  tls: false,
  user: undefined,
  password: undefined,
  database: 0,
  master: undefined,
};

describe('RedisUrl', () => {
  test.each([
    ['redis://127.0.0.1', { ...PLAIN, hosts: [{ host: '127.0.0.1', port: 6379 }] }],
    ['redis://[::1]:7000/2', { ...PLAIN, hosts: [{ host: '::1', port: 7000 }], database: 2 }],
    [
      'rediss://app:p%40ss%3A@redis.example:6380',
      { ...PLAIN, hosts: [{ host: 'redis.example', port: 6380 }], tls: true, user: 'app', password: 'p@ss:' },
    ],
    ['redis://:hush@r', { ...PLAIN, hosts: [{ host: 'r', port: 6379 }], password: 'hush' }],
    [
      'redis+sentinel://a,b:26380/mymaster/1',
      {
        ...PLAIN,
        kind: 'sentinel',
        hosts: [
          { host: 'a', port: 26379 },
          { host: 'b', port: 26380 },
        ],
        master: 'mymaster',
        database: 1,
      },
    ],
    [
      'rediss+cluster://a,b',
      {
        ...PLAIN,
        kind: 'cluster',
        hosts: [
          { host: 'a', port: 6379 },
          { host: 'b', port: 6379 },
        ],
        tls: true,
      },
    ],
  ])('reads %s', (url, address) => {
    expect(check(RedisUrl, url).output).toEqual(address);
  });

  test.each([
    'http://redis',
    'redis://',
    'redis://a,b',
    'redis://a:0',
    'redis://a:70000',
    'redis://a/db',
    'redis://a/1/2',
    'redis+sentinel://a',
    'redis+sentinel://a/two words',
    'redis+cluster://a/1',
    'redis://%zz@a',
    'redis://a?timeout=1',
  ])('refuses %s', (url) => {
    expect(check(RedisUrl, url).problems).toHaveLength(1);
  });

  test.each([
    [64, 0],
    [65, 1],
  ])('reads %d hosts with %d errors', (count, errors) => {
    const hosts = Array.from({ length: count }, (_, at) => `host-${at}`).join(',');
    expect(check(RedisUrl, `redis+cluster://${hosts}`).problems ?? []).toHaveLength(errors);
  });

  test('refuses an invalid URL without repeating its password', () => {
    const [problem] = check(RedisUrl, 'rediss://app:hush@a/db').problems ?? [];
    expect(problem?.why).not.toContain('hush');
  });

  test.each([
    ['redis://127.0.0.1', 'redis://127.0.0.1:6379'],
    ['rediss://app:hush@[::1]/3', 'rediss://app:***@[::1]:6379/3'],
    ['redis://:hush@a', 'redis://:***@a:6379'],
    ['redis+sentinel://:hush@a,b/m/1', 'redis+sentinel://:***@a:26379,b:26379/m/1'],
  ])('formats %s as %s, without the password', (url, shown) => {
    const address = check(RedisUrl, url).output;
    expect(address && formatRedisAddress(address)).toBe(shown);
  });
});
