import { describe, expect, test } from 'vitest';
import { DOCKER_HUB } from '../../src/oci/reference.ts';
import { isPush, parseWriteRoute } from '../../src/server/routes.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;

const parse = (method: string, target: string) => parseWriteRoute(method, target, DOCKER_HUB);

describe('parseWriteRoute()', () => {
  test.each([
    ['POST', '/v2/qnib/bench/blobs/uploads/', 'begin-upload', 'docker.io/qnib/bench'],
    ['POST', '/v2/qnib/bench/blobs/uploads', 'begin-upload', 'docker.io/qnib/bench'],
    ['POST', '/v2/ghcr.io/team/app/blobs/uploads/', 'begin-upload', 'ghcr.io/team/app'],
    ['POST', '/v2/team/app/blobs/uploads/?ns=ghcr.io', 'begin-upload', 'ghcr.io/team/app'],
    ['PATCH', '/v2/team/app/blobs/uploads/abc_-9', 'upload', 'docker.io/team/app'],
    ['GET', '/v2/team/app/blobs/uploads/abc', 'upload', 'docker.io/team/app'],
    ['DELETE', '/v2/team/app/blobs/uploads/abc', 'upload', 'docker.io/team/app'],
    ['PUT', '/v2/team/app/manifests/v1', 'manifest', 'docker.io/team/app'],
    ['PUT', `/v2/team/blobs/uploads/manifests/${DIGEST}`, 'manifest', 'docker.io/team/blobs/uploads'],
  ])('reads %s %s as %s of %s', (method, target, kind, name) => {
    expect(isPush(method, target.split('?')[0] ?? '')).toBe(true);
    const route = parse(method, target);
    expect([route.kind, `${route.repository.host}/${route.repository.name}`]).toEqual([kind, name]);
  });

  test('reads the digest and the mount, including one from a repository of another host', () => {
    expect(parse('PUT', `/v2/a/b/blobs/uploads/s?digest=${encodeURIComponent(DIGEST)}`)).toMatchObject({
      session: 's',
      digest: DIGEST,
    });
    expect(parse('POST', `/v2/a/b/blobs/uploads/?mount=${DIGEST}&from=ghcr.io/c/d`)).toMatchObject({
      mount: { digest: DIGEST, from: { host: 'ghcr.io', name: 'c/d' } },
    });
    // To look for it anywhere is not for every login.
    expect(parse('POST', `/v2/a/b/blobs/uploads/?mount=${DIGEST}`)).toMatchObject({ mount: undefined });
  });

  test.each([
    ['POST', '/v2/A/b/blobs/uploads/', 400, 'NAME_INVALID'],
    ['POST', '/v2/../b/blobs/uploads/', 400, 'NAME_INVALID'],
    ['POST', '/v2/a%2fb/blobs/uploads/', 400, 'NAME_INVALID'],
    ['POST', '/v2/a/b/blobs/uploads/?mount=sha256:0&from=c/d', 400, 'DIGEST_INVALID'],
    ['POST', `/v2/a/b/blobs/uploads/?mount=${DIGEST}&from=../d`, 400, 'NAME_INVALID'],
    ['PUT', '/v2/a/b/blobs/uploads/s?digest=md5:1', 400, 'DIGEST_INVALID'],
    ['PUT', `/v2/a/b/blobs/uploads/s?digest=${DIGEST}&digest=sha512:${'b'.repeat(128)}`, 400, 'UNSUPPORTED'],
    ['PUT', '/v2/a/b/manifests/..', 404, 'MANIFEST_UNKNOWN'],
    ['PUT', '/v2/a/b/manifests/sha256:1', 400, 'DIGEST_INVALID'],
    ['PUT', '/v2/a/b/blobs/uploads/', 405, 'UNSUPPORTED'],
    ['POST', '/v2/a/b/blobs/uploads/s', 405, 'UNSUPPORTED'],
    ['DELETE', '/v2/a/b/manifests/v1', 405, 'UNSUPPORTED'],
    ['PUT', '/v2/a/b/blobs/uploads/s/t', 404, 'UNSUPPORTED'],
    ['PUT', '/v2/', 404, 'UNSUPPORTED'],
  ])('refuses %s %s with %d', (method, target, status, code) => {
    expect(() => parse(method, target)).toThrow(expect.objectContaining({ status, code }));
  });
});

test.each([
  ['GET', '/v2/a/b/manifests/v1'],
  ['GET', `/v2/a/b/blobs/${DIGEST}`],
  ['GET', '/v2/a/blobs/uploads/tags/list'],
  ['POST', '/token'],
])('isPush() is false for %s %s', (method, path) => {
  expect(isPush(method, path)).toBe(false);
});
