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

test('two views of one cache never share a result', () => {
  const cache = createDecisionCache();
  const [one, other] = [cache.view(), cache.view()];
  one.set('key', derivedOf(10));
  expect(other.get('key')).toBeUndefined();
  expect(one.get('key')).toBeDefined();
});
