import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  formatReference,
  isSameRepository,
  looksLikeHost,
  parseImageReference,
  parseManifestReference,
  parseRepositoryName,
  parseSourceHost,
  parseTag,
  splitHost,
} from '../../src/oci/reference.ts';
import { FUZZ_RUNS } from '../support/fuzz.ts';

const DIGEST = `sha256:${'0'.repeat(64)}`;

describe('parseImageReference() completes names as Docker does', () => {
  test.each([
    ['alpine', 'docker.io/library/alpine:latest'],
    ['alpine:3.20', 'docker.io/library/alpine:3.20'],
    ['qnib/bench', 'docker.io/qnib/bench:latest'],
    ['docker.io/alpine', 'docker.io/library/alpine:latest'],
    ['index.docker.io/qnib/bench:v1', 'docker.io/qnib/bench:v1'],
    ['ghcr.io/a/b/c:v1.2_x', 'ghcr.io/a/b/c:v1.2_x'],
    ['localhost/a', 'localhost/a:latest'],
    ['localhost:5000/a/b', 'localhost:5000/a/b:latest'],
    ['127.0.0.1:5000/a', '127.0.0.1:5000/a:latest'],
    ['[::1]:5000/a', '[::1]:5000/a:latest'],
    ['GHCR.io/a/b', 'ghcr.io/a/b:latest'],
    [`a/b@${DIGEST}`, `docker.io/a/b@${DIGEST}`],
    [`ghcr.io/a/b:v1@${DIGEST}`, `ghcr.io/a/b@${DIGEST}`],
    ['registry-1.docker.io/alpine', 'docker.io/library/alpine:latest'],
    ['ghcr.io:443/a', 'ghcr.io/a:latest'],
  ])('%s is %s', (text, complete) => {
    const parsed = parseImageReference(text);
    expect(parsed && formatReference(parsed.repository, parsed.reference)).toBe(complete);
  });

  test.each([
    '',
    ' ',
    '/',
    'a//b',
    'A/b',
    'a/../b',
    'a/b:',
    'a/b:-x',
    'a/b@sha256:abc',
    'ghcr.io/',
    'ghcr.io:99999/a',
    'https://ghcr.io/a',
    'a b',
    'a/b?ns=x',
    '-a/b',
    'a/b\n',
    ':a',
    '@a',
    `@${DIGEST}`,
    `a/b@${DIGEST}x`,
    ':latest',
  ])('%j is refused', (text) => {
    expect(parseImageReference(text)).toBeUndefined();
  });
});

describe('parseRepositoryName()', () => {
  test.each(['a', 'a/b', 'a.b_c__d-e--f/g', '0', `a/${'b'.repeat(253)}`])('accepts %s', (text) => {
    expect(parseRepositoryName(text)).toBe(text);
  });
  test.each(['_a', '-a', '.a/b', 'a-', 'a/-b', 'a/b_', 'a/B', 'a b', 'a/b c', 'a._b', 'a/b/'])(
    'refuses %j',
    (text) => {
      expect(parseRepositoryName(text)).toBeUndefined();
    },
  );
  test.each(['ab/cd/ef', 'a-b/c--d', 'a/b.c/d_e', 'a/b__c', 'abc123/4', 'aa.bb-cc_dd__ee/ff'])(
    'accepts %s',
    (text) => {
      expect(parseRepositoryName(text)).toBe(text);
    },
  );
  test.each(['', '.', '..', 'a/', '/a', 'a..b', 'a___b', 'a_', 'ä', 'a%2fb', 'a\0', `a/${'b'.repeat(254)}`])(
    'refuses %j',
    (text) => {
      expect(parseRepositoryName(text)).toBeUndefined();
    },
  );
});

test('a tag has at most 128 characters and never begins with a dot or a dash', () => {
  expect(parseTag('a'.repeat(128))).toBeDefined();
  expect(parseTag('a'.repeat(129))).toBeUndefined();
  expect(parseTag('.a')).toBeUndefined();
  expect(parseTag('-a')).toBeUndefined();
});

test.each(['a', '_', '0', 'A.b-c_D', 'v1.2.3'])('%s is a valid tag', (text) => {
  expect(parseTag(text)).toBe(text);
});

test.each(['', ' a', 'a ', 'a/b', 'a:b', 'a\n', 'a+b', '+a', 'ä'])('%j is not a valid tag', (text) => {
  expect(parseTag(text)).toBeUndefined();
});

test('a reference with a colon is a digest, valid or refused, never a tag', () => {
  expect(parseManifestReference('v1')).toEqual({ kind: 'tag', tag: 'v1' });
  expect(parseManifestReference(DIGEST)).toEqual({ kind: 'digest', digest: DIGEST });
  expect(parseManifestReference('sha256:totallywrong')).toBeUndefined();
});

test.each(['docker.io', 'index.docker.io', 'registry-1.docker.io'])(
  'the source host %s is Docker Hub',
  (text) => {
    expect(parseSourceHost(text)).toBe('docker.io');
  },
);

test.each([
  '',
  'a b',
  'user@host',
  'host/path',
  'host:0',
  'host:',
  '-a.b',
  'a..b',
  '169.254.169.254/latest',
  'h\r\nx',
  'a-.b',
  'a.-b',
  'host:65536',
  'host:000000',
  'a_b',
  '[zz]',
  '[::1',
  '[::1]x',
  'x[::1]',
  `${'a'.repeat(64)}.b`,
  `${'a.'.repeat(128)}aaaaaa`,
])('the source host %j is refused', (text) => {
  expect(parseSourceHost(text)).toBeUndefined();
});

test.each([
  ['Example.COM', 'example.com'],
  ['example.com:443', 'example.com'],
  ['example.com:80', 'example.com'],
  ['example.com:0443', 'example.com'],
  ['example.com:4430', 'example.com:4430'],
  ['example.com:8080', 'example.com:8080'],
  ['a443', 'a443'],
  ['h:1', 'h:1'],
  ['h:65535', 'h:65535'],
  ['[2001:DB8::1]:5000', '[2001:db8::1]:5000'],
  ['[::1]', '[::1]'],
  [`${'a'.repeat(63)}.b`, `${'a'.repeat(63)}.b`],
  ['0.a-b.c', '0.a-b.c'],
])('the source host %s is read as %s', (text, host) => {
  expect(parseSourceHost(text)).toBe(host);
});

test('a source host has at most 261 characters: a DNS name of 255 and a port', () => {
  const longest = `${`${'a'.repeat(63)}.`.repeat(3)}${'b'.repeat(63)}:65535`;
  expect(longest).toHaveLength(261);
  expect(parseSourceHost(longest)).toBe(longest);
  expect(parseSourceHost(`a.${longest.slice(1)}`)).toBeUndefined();
});

test.each([
  ['ghcr.io', true],
  ['a:5000', true],
  ['localhost', true],
  ['localhosts', false],
  ['library', false],
  ['', false],
])('splitHost() treats the first component of %j as a registry: %s', (component, expected) => {
  expect(looksLikeHost(component)).toBe(expected);
});

test('repositories are equal by host and name', () => {
  const [a, sameAsA, otherName, otherHost] = [
    'ghcr.io/a/b',
    'GHCR.io/a/b:v2',
    'ghcr.io/a/c',
    'quay.io/a/b',
  ].map((text) => parseImageReference(text)?.repository);
  if (!a || !sameAsA || !otherName || !otherHost) throw new Error('a reference of the test is malformed');
  expect(isSameRepository(a, sameAsA)).toBe(true);
  expect(isSameRepository(a, otherName)).toBe(false);
  expect(isSameRepository(a, otherHost)).toBe(false);
});

test('a completed reference is parsed to the same reference', () => {
  const component = fc.stringMatching(/^[a-z0-9]{1,8}(?:[._-][a-z0-9]{1,4})?$/);
  const name = fc.array(component, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
  fc.assert(
    fc.property(
      fc.constantFrom('ghcr.io', 'localhost:5000', 'docker.io'),
      name,
      fc.stringMatching(/^[A-Za-z0-9_][\w.-]{0,20}$/),
      (host, path, tag) => {
        const first = parseImageReference(`${host}/${path}:${tag}`);
        if (!first) throw new Error('it is not a reference');
        expect(parseImageReference(formatReference(first.repository, first.reference))).toEqual(first);
      },
    ),
    { numRuns: FUZZ_RUNS },
  );
});

test('parsing a reference never throws, whatever the text', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 400 }), (text) => {
      expect(() => parseImageReference(text)).not.toThrow();
      expect(() => parseSourceHost(text)).not.toThrow();
      expect(() => parseManifestReference(text)).not.toThrow();
    }),
    { numRuns: FUZZ_RUNS },
  );
});

describe('splitHost() splits the host from an image name', () => {
  test.each([
    ['ghcr.io/a/b', 'ghcr.io', 'a/b'],
    ['localhost/a', 'localhost', 'a'],
    ['host:5000/a/b', 'host:5000', 'a/b'],
    ['[::1]:5000/a', '[::1]:5000', 'a'],
    ['a/b', undefined, 'a/b'],
    ['alpine', undefined, 'alpine'],
    ['alpine:3.20', undefined, 'alpine:3.20'],
    ['ghcr.io', undefined, 'ghcr.io'],
    ['/a', undefined, '/a'],
    ['', undefined, ''],
  ])('%s', (name, host, path) => {
    expect(splitHost(name)).toEqual({ host, path });
  });
});
