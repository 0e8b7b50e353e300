import { expect, test } from 'vitest';
import { UsedOnce } from '../../src/site/used-once.ts';

const options = { name: 'nonces', lifetimeMs: 60_000, shared: undefined };

test('a text is used once, also when it comes twice at once, and others beside it', async () => {
  const used = new UsedOnce(options);
  expect(await Promise.all(['one', 'one', 'two'].map((text) => used.use(text)))).toEqual([true, false, true]);
  expect(await used.use('two')).toBe(false);
  expect(await new UsedOnce(options).use('one')).toBe(true);
});
