import { describe, expect, test } from 'vitest';
import { TagCache, tagView } from '../../src/mirror/tag-cache.ts';
import { digestOf } from '../../src/oci/digest.ts';
import type { Tag } from '../../src/oci/reference.ts';
import { repository } from '../support/upstream.ts';

const LATEST = 'latest' as Tag;
const app = repository('team/app');

const lookup = (text: string, isStale = false) => ({
  info: { digest: digestOf(Buffer.from(text)), mediaType: 'application/x', sizeBytes: text.length },
  isStale,
});

function cacheAt(startMs: number) {
  const view = tagView(app, LATEST, { partition: 'one' });
  const clock = { ms: startMs };
  return { clock, view, cache: new TagCache(() => clock.ms) };
}

describe('TagCache', () => {
  test('returns a response while it is fresh, with its remaining lifetime', () => {
    const { cache, clock, view } = cacheAt(1000);
    expect(cache.find(view)).toBeUndefined();
    expect(cache.keep(view, lookup('a'), 500)).toBe(false);
    expect(cache.find(view)).toMatchObject({ ...lookup('a'), maxAgeMs: 500 });
    clock.ms = 1499;
    expect(cache.find(view)).toMatchObject({ maxAgeMs: 1 });
    clock.ms = 1500;
    expect(cache.find(view)).toBeUndefined();
    // For a registry that does not answer.
    expect(cache.latest(view)).toMatchObject(lookup('a'));
  });

  test.each([
    ['partitions', () => tagView(app, LATEST, { partition: 'two' })],
    ['partitions, of which one is the mirror’s own', () => tagView(app, LATEST, undefined)],
    ['tags', () => tagView(app, 'v1' as Tag, { partition: 'one' })],
    ['repositories', () => tagView(repository('team/other'), LATEST, { partition: 'one' })],
    ['registries', () => tagView(repository('team/app', 'ghcr.io'), LATEST, { partition: 'one' })],
  ])('shares no response between different %s', (_, viewOf) => {
    const { cache, view } = cacheAt(1000);
    const other = viewOf();
    cache.keep(view, lookup('a'), 500);
    expect([cache.find(other), cache.latest(other)]).toEqual([undefined, undefined]);
  });

  test('drops the responses of other clients from before a tag moved, and keeps those from after it', () => {
    const { cache, clock, view } = cacheAt(1000);
    const other = tagView(app, LATEST, undefined);
    const unrelated = tagView(app, 'v1' as Tag, undefined);
    for (const one of [view, other, unrelated]) cache.keep(one, lookup('a'), 5000);
    clock.ms = 1001;
    expect(cache.keep(view, lookup('a'), 5000)).toBe(false);
    expect(cache.find(other)).toBeDefined();
    expect(cache.keep(view, lookup('b'), 5000)).toBe(true);
    expect(cache.find(view)).toMatchObject(lookup('b'));
    expect(cache.find(other)).toBeUndefined();
    expect(cache.find(unrelated)).toBeDefined();
    cache.keep(other, lookup('b'), 5000);
    expect(cache.find(other)).toMatchObject(lookup('b'));
  });

  test.each([
    [
      'of a tag that a client pushed, for every client',
      (cache: TagCache) => cache.expire(tagView(app, LATEST, undefined)),
      true,
    ],
    ['of every tag', (cache: TagCache) => cache.expireAll(), false],
  ])('expires responses %s', (_, expire, sparesOthers) => {
    const { cache, clock, view } = cacheAt(1000);
    const [other, unrelated] = [tagView(app, LATEST, undefined), tagView(app, 'v1' as Tag, undefined)];
    for (const one of [view, other, unrelated]) cache.keep(one, lookup('a'), 5000);
    clock.ms = 2000;
    cache.keep(tagView(app, 'v2' as Tag, undefined), lookup('a'), 5000);
    expire(cache);
    expect([cache.find(view), cache.find(other)]).toEqual([undefined, undefined]);
    const asked = tagView(app, 'v2' as Tag, undefined);
    expect([cache.find(unrelated), cache.find(asked)].map((found) => found !== undefined)).toEqual([
      sparesOthers,
      sparesOthers,
    ]);
    expect(cache.latest(view)).toMatchObject(lookup('a'));
    clock.ms = 2001;
    cache.keep(view, lookup('a'), 5000);
    expect(cache.find(view)).toMatchObject({ maxAgeMs: 5000 });
  });

  test('keeps the responses of the latest 20,000 tags', () => {
    const { cache } = cacheAt(1000);
    const viewOf = (at: number) => tagView(app, `v${at}` as Tag, undefined);
    for (let at = 0; at < 20_000; at += 1) cache.keep(viewOf(at), lookup('a'), 5000);
    expect(cache.find(viewOf(0))).toBeDefined();
    cache.keep(viewOf(20_000), lookup('a'), 5000);
    expect([0, 1, 2, 20_000].map((at) => cache.find(viewOf(at)) !== undefined)).toEqual([
      true,
      false,
      true,
      true,
    ]);
  });

  test.each([
    [999, true],
    [1000, false],
  ])(
    'never returns a response from before a tag was pushed, although %d other tags were pushed since; unrelated ones stay: %s',
    (pushes, isKept) => {
      const { cache, clock, view } = cacheAt(1000);
      const unrelated = tagView(repository('team/other'), LATEST, undefined);
      for (const one of [view, unrelated]) cache.keep(one, lookup('a'), 5000);
      clock.ms += 1;
      for (const tag of [LATEST, ...Array.from({ length: pushes }, (_, at) => `v${at}` as Tag)]) {
        cache.expire(tagView(app, tag, undefined));
      }
      expect(cache.find(view)).toBeUndefined();
      // A move that is forgotten expires every earlier response.
      expect(cache.find(unrelated) !== undefined).toBe(isKept);
      clock.ms += 1;
      cache.keep(view, lookup('b'), 5000);
      expect(cache.find(view)).toMatchObject(lookup('b'));
    },
  );
});
