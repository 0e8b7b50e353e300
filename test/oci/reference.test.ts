import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  formatReference,
  parseImageReference,
  parseManifestReference,
  parseRepositoryName,
  parseSourceHost,
  parseTag,
  splitHost,
} from '../../src/oci/reference.ts';
import { FUZZ_RUNS } from '../support/fuzz.ts';

const DIGEST = `sha256:${'0'.repeat(64)}`;

describe('parseImageReference() completes names as docker does', () => {
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
  ])('%j is refused', (text) => {
    expect(parseImageReference(text)).toBeUndefined();
  });
});

describe('parseRepositoryName()', () => {
  test.each(['a', 'a/b', 'a.b_c__d-e--f/g', '0', `a/${'b'.repeat(253)}`])('takes %s', (text) => {
    expect(parseRepositoryName(text)).toBe(text);
  });
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

test('a colon makes a reference a digest, valid or refused, never a tag', () => {
  expect(parseManifestReference('v1')).toEqual({ kind: 'tag', tag: 'v1' });
  expect(parseManifestReference(DIGEST)).toEqual({ kind: 'digest', digest: DIGEST });
  expect(parseManifestReference('sha256:totallywrong')).toBeUndefined();
});

test.each(['docker.io', 'index.docker.io', 'registry-1.docker.io'])('%s is Docker Hub', (text) => {
  expect(parseSourceHost(text)).toBe('docker.io');
});

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
])('the source host %j is refused', (text) => {
  expect(parseSourceHost(text)).toBeUndefined();
});

test('a completed reference reads back as itself', () => {
  const component = fc.stringMatching(/^[a-z0-9]{1,8}(?:[._-][a-z0-9]{1,4})?$/);
  const name = fc.array(component, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
  fc.assert(
    fc.property(
      fc.constantFrom('ghcr.io', 'localhost:5000', 'docker.io'),
      name,
      fc.stringMatching(/^[A-Za-z0-9_][\w.-]{0,20}$/),
      (host, path, tag) => {
        const first = parseImageReference(`${host}/${path}:${tag}`);
        expect(first).toBeDefined();
        if (!first) return;
        expect(parseImageReference(formatReference(first.repository, first.reference))).toEqual(first);
      },
    ),
    { numRuns: FUZZ_RUNS },
  );
});

test('arbitrary text never throws', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 400 }), (text) => {
      expect(() => parseImageReference(text)).not.toThrow();
      expect(() => parseSourceHost(text)).not.toThrow();
      expect(() => parseManifestReference(text)).not.toThrow();
    }),
    { numRuns: FUZZ_RUNS },
  );
});

describe('splitHost() takes the host off an image name', () => {
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
