import { expect, test } from 'vitest';
import { type CachedDecision, createDecisionCache } from '../../src/mirror/decision-cache.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { DEFAULT_POLICY } from '../../src/selection/policy.ts';

const MIB = 1024 * 1024;

function derivedOf(sizeBytes: number): CachedDecision & { policy: typeof DEFAULT_POLICY } {
  const bytes = Buffer.alloc(sizeBytes);
  return {
    outcome: { kind: 'derived', bytes, digest: digestOf(Buffer.of()), mediaType: 'application/json' },
    reason: '',
    chosen: undefined,
    policy: DEFAULT_POLICY,
  } as never;
}

test.each([
  [31, 31],
  [40, 31],
])('the decision cache keeps, of %d results of one MiB, the latest %d', (count, kept) => {
  const view = createDecisionCache().view();
  for (let number = 0; number < count; number += 1) view.set(`key ${number}`, derivedOf(MIB));
  const found = Array.from({ length: count }, (_, number) => view.get(`key ${number}`) !== undefined);
  expect(found.filter(Boolean)).toHaveLength(kept);
  expect(found.slice(count - kept).every(Boolean)).toBe(true);
});

/** A refusal of these sizes, with and without an index that says so. */
function refusedOf(indexBytes: number | undefined, detailBytes: number) {
  const index = indexBytes === undefined ? undefined : derivedOf(indexBytes).outcome;
  return { ...derivedOf(0), outcome: { kind: 'refused', detail: 'x'.repeat(detailBytes), index } } as never;
}

test.each([
  ['derived indexes', derivedOf(4 * MIB), 7],
  ['refusals with an index', refusedOf(4 * MIB, 0), 7],
  ['refusals with details', refusedOf(undefined, 4 * MIB), 7],
  ['refusals with both', refusedOf(2 * MIB, 2 * MIB), 7],
  ['answers without bytes of their own', { ...derivedOf(0), outcome: { kind: 'original' } } as never, 8192],
])('the decision cache counts the bytes of %s', (_, answer, kept) => {
  const view = createDecisionCache().view();
  const keys = Array.from({ length: kept + 10 }, (_, number) => `key ${number}`);
  for (const key of keys) view.set(key, answer);
  expect(keys.filter((key) => view.get(key) !== undefined)).toEqual(keys.slice(-kept));
});

test('two views of one cache never share a result', () => {
  const cache = createDecisionCache();
  const [one, other] = [cache.view(), cache.view()];
  one.set('key', derivedOf(10));
  expect(other.get('key')).toBeUndefined();
  expect(one.get('key')).toBeDefined();
});
