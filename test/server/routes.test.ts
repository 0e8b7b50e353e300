import { describe, expect, test } from 'vitest';
import { DOCKER_HUB, formatRepository } from '../../src/oci/reference.ts';
import { RegistryError } from '../../src/oci/registry-error.ts';
import { createBlobRouteReader, parseRoute } from '../../src/server/routes.ts';

const SHA256 = `sha256:${'a'.repeat(64)}`;
const SHA512 = `sha512:${'b'.repeat(128)}`;

function repositoryOf(target: string): string {
  const route = parseRoute(target, DOCKER_HUB);
  if (!('repository' in route)) throw new Error(`${target} is ${route.kind}`);
  return formatRepository(route.repository);
}

function refusal(target: string): string {
  try {
    return parseRoute(target, DOCKER_HUB).kind;
  } catch (error) {
    if (error instanceof RegistryError) return `${error.status} ${error.code}`;
    throw error;
  }
}

describe('a request target', () => {
  test.each([
    ['/v2/', 'ping'],
    ['/v2', 'ping'],
    ['/v2/?ns=docker.io', 'ping'],
    ['/v2/a/manifests/latest', 'manifest'],
    [`/v2/a/manifests/${SHA256}`, 'manifest'],
    [`/v2/a/manifests/${SHA512}`, 'manifest'],
    [`/v2/a/blobs/${SHA256}`, 'blob'],
    ['/v2/a/tags/list?n=5&last=x', 'tags'],
    [`/v2/a/referrers/${SHA256}?artifactType=application/vnd.x+json`, 'referrers'],
    ['/', 'page'],
    ['/metrics?x=y', 'page'],
    ['/v1/search', 'page'],
  ])('%s is a %s', (target, kind) => {
    expect(parseRoute(target, DOCKER_HUB).kind).toBe(kind);
  });

  test.each([
    ['one component lives under library/', '/v2/alpine/manifests/latest', 'docker.io/library/alpine'],
    ['two components', '/v2/qnib/bench/manifests/latest', 'docker.io/qnib/bench'],
    ['names of any depth', '/v2/a/b/c/d/e/f/manifests/x', 'docker.io/a/b/c/d/e/f'],
    [
      'components called like the API',
      '/v2/manifests/blobs/tags/manifests/x',
      'docker.io/manifests/blobs/tags',
    ],
    ['a host in front', '/v2/ghcr.io/org/app/manifests/x', 'ghcr.io/org/app'],
    ['a host in front, and no library/ there', '/v2/quay.io/app/manifests/x', 'quay.io/app'],
    ['a port makes a host', '/v2/registry:5000/app/manifests/x', 'registry:5000/app'],
    ['localhost is a host', '/v2/localhost/app/manifests/x', 'localhost/app'],
    ['an alias of Docker Hub', '/v2/registry-1.docker.io/alpine/manifests/x', 'docker.io/library/alpine'],
    ['a lone dotted component is a name', '/v2/my.app/manifests/x', 'docker.io/library/my.app'],
    ['ns names the host', '/v2/org/app/manifests/x?ns=ghcr.io', 'ghcr.io/org/app'],
    ['ns of docker.io', '/v2/library/alpine/manifests/x?ns=docker.io', 'docker.io/library/alpine'],
    ['ns percent-encoded', '/v2/app/manifests/x?ns=localhost%3A5000', 'localhost:5000/app'],
    ['ns and the same host in front', '/v2/ghcr.io/org/app/manifests/x?ns=ghcr.io', 'ghcr.io/org/app'],
    ['ns and another dotted component', '/v2/a.b/app/manifests/x?ns=ghcr.io', 'ghcr.io/a.b/app'],
  ])('%s', (_, target, repository) => {
    expect(repositoryOf(target)).toBe(repository);
  });

  test.each([
    ['/v2/a/manifests/sha256:totallywrong', '400 DIGEST_INVALID'],
    [`/v2/a/manifests/md5:${'a'.repeat(32)}`, '400 DIGEST_INVALID'],
    [`/v2/a/manifests/sha256:${'A'.repeat(64)}`, '400 DIGEST_INVALID'],
    ['/v2/a/manifests/.tag', '404 MANIFEST_UNKNOWN'],
    [`/v2/a/manifests/${'t'.repeat(129)}`, '404 MANIFEST_UNKNOWN'],
    ['/v2/a/manifests/', '404 MANIFEST_UNKNOWN'],
    ['/v2/a/manifests/%6catest', '404 MANIFEST_UNKNOWN'],
    ['/v2/a/blobs/latest', '400 DIGEST_INVALID'],
    [`/v2/a/blobs/sha256:../../../../etc/passwd`, '404 UNSUPPORTED'],
    ['/v2/A/manifests/x', '400 NAME_INVALID'],
    ['/v2/a//b/manifests/x', '400 NAME_INVALID'],
    ['/v2/../v2/a/manifests/x', '400 NAME_INVALID'],
    ['/v2/%2e%2e/a/manifests/x', '400 NAME_INVALID'],
    ['/v2/a%2fb/manifests/x', '400 NAME_INVALID'],
    ['/v2/a\u0000/manifests/x', '400 NAME_INVALID'],
    ['/v2//manifests/x', '400 NAME_INVALID'],
    [`/v2/${'a'.repeat(256)}/manifests/x`, '400 NAME_INVALID'],
    ['/v2/manifests/x', '404 UNSUPPORTED'],
    ['/v2/_catalog', '404 UNSUPPORTED'],
    ['/v2/a/tags/', '404 UNSUPPORTED'],
    ['/v2/a/blobs/uploads/', '404 UNSUPPORTED'],
    ['/v2/a/manifests/x?ns=', '400 NAME_INVALID'],
    ['/v2/a/manifests/x?ns=http://ghcr.io', '400 NAME_INVALID'],
    ['/v2/a/manifests/x?ns=user@ghcr.io', '400 NAME_INVALID'],
    ['/v2/a/manifests/x?ns=ghcr.io%00', '400 NAME_INVALID'],
    ['/v2/a/manifests/x?ns=ghcr.io&ns=quay.io', '400 UNSUPPORTED'],
    ['/v2/a/manifests/x?ns=%zz', '400 UNSUPPORTED'],
    ['/v2/a/tags/list?n=-1', '400 PAGINATION_NUMBER_INVALID'],
    ['/v2/a/tags/list?n=ten', '400 PAGINATION_NUMBER_INVALID'],
    ['/v2/a/tags/list?last=a/b', '400 TAG_INVALID'],
    [`/v2/a/referrers/${SHA256}?artifactType=%0d%0ax`, '400 UNSUPPORTED'],
    ['http://127.0.0.1/v2/a/manifests/x', 'page'],
    ['*', 'page'],
  ])('%s is refused: %s', (target, expected) => {
    if (expected === 'page') expect(parseRoute(target, DOCKER_HUB).kind).toBe('page');
    else expect(refusal(target)).toBe(expected);
  });

  test('with a huge n gets the maximum n', () => {
    expect(parseRoute('/v2/a/tags/list?n=999999999999', DOCKER_HUB)).toMatchObject({ limit: 10_000 });
  });

  test('with an artifact type keeps its plus sign, encoded or not', () => {
    for (const written of ['application/vnd.x+json', 'application%2Fvnd.x%2Bjson']) {
      expect(parseRoute(`/v2/a/referrers/${SHA256}?artifactType=${written}`, DOCKER_HUB)).toMatchObject({
        artifactType: 'application/vnd.x+json',
      });
    }
  });
});

describe('createBlobRouteReader()', () => {
  const targetOf = (at: number, characters = 0) => {
    const target = `/v2/library/app/blobs/${SHA256}?at=${String(at).padStart(4, '0')}&pad=`;
    return target.padEnd(characters, 'x');
  };

  test('remembers 256 targets: with one more, all are parsed again', () => {
    const read = createBlobRouteReader(DOCKER_HUB);
    const first = read(targetOf(0));
    for (let at = 1; at < 256; at += 1) read(targetOf(at));
    expect(read(targetOf(0))).toBe(first);
    read(targetOf(256));
    expect(read(targetOf(0))).not.toBe(first);
    expect(read(targetOf(0))).toEqual(first);
  });

  test.each([
    [1024, true],
    [1025, false],
  ])('remembers a target of %d characters: %s', (characters, isRemembered) => {
    const read = createBlobRouteReader(DOCKER_HUB);
    const target = targetOf(0, characters);
    expect(target).toHaveLength(characters);
    const first = read(target);
    expect(first?.kind).toBe('blob');
    expect(read(target) === first).toBe(isRemembered);
  });
});
