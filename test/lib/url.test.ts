import { describe, expect, test } from 'vitest';
import { resolveReference, withQuery } from '../../src/lib/url.ts';

const base = { url: new URL('https://registry.test/v2/app/blobs/x?a=1'), target: "/v2/app/blobs/x?a='1'" };

describe('resolveReference() keeps path and query byte for byte', () => {
  test.each([
    ["https://s3.test/a'b~c|d?sig=a%2bB%2B'", 's3.test', "/a'b~c|d?sig=a%2bB%2B'"],
    ['HTTPS://S3.test', 's3.test', '/'],
    ['https://s3.test?x={y}', 's3.test', '/?x={y}'],
    ['//cdn.test/x^y`', 'cdn.test', '/x^y`'],
    ['/layer\xc3\xa9?n=\xe2\x82\xac', 'registry.test', '/layer%C3%A9?n=%E2%82%AC'],
    ['?b=2', 'registry.test', '/v2/app/blobs/x?b=2'],
    ['y?b', 'registry.test', '/v2/app/blobs/y?b'],
    ['../../../z', 'registry.test', '/z'],
    ['./', 'registry.test', '/v2/app/blobs/'],
    ['/a/./b/../c', 'registry.test', '/a/c'],
    ['/a/%2e%2e/c', 'registry.test', '/a/%2e%2e/c'],
    ['/x?y=#fragment', 'registry.test', '/x?y='],
    ['', 'registry.test', "/v2/app/blobs/x?a='1'"],
    ['/a b\tc', 'registry.test', '/a%20b%09c'],
  ])('%s', (reference, host, target) => {
    const resolved = resolveReference(reference, base);
    expect(resolved?.url.host).toBe(host);
    expect(resolved?.target).toBe(target);
  });

  // What has no meaning but a URL parser's is taken as that has it: the host must not be judged by one reading and dialled by another.
  test.each([
    ['https:\\\\evil.test\\x', 'evil.test', '/x'],
    ['\\\\evil.test/x', 'evil.test', '/x'],
    ['https:/x', 'registry.test', '/x'],
  ])('%s is read as a URL parser reads it', (reference, host, target) => {
    const resolved = resolveReference(reference, base);
    expect([resolved?.url.host, resolved?.target]).toEqual([host, target]);
  });

  test('what is no URL is undefined', () => {
    expect(resolveReference('https://[', base)).toBeUndefined();
  });
});

test.each([
  ['/a', 'x=1', '/a?x=1'],
  ["/a?s='", 'x=1', "/a?s='&x=1"],
  ['/a?', 'x=1', '/a?x=1'],
  ['/a?b&', 'x=1', '/a?b&x=1'],
  ['/a', '', '/a'],
])('withQuery(%s, %s) leaves the query that is there as it is', (target, parameters, expected) => {
  expect(withQuery(target, parameters)).toBe(expected);
});
