import { expect, test } from 'vitest';
import { addHop, isLoop } from '../../src/oci/via.ts';

test('a request without Via is no loop, whoever asks', () => {
  expect(isLoop(undefined, 'metahub-a')).toBe(false);
  expect(isLoop('', 'metahub-a')).toBe(false);
});

test("a mirror recognises its own hop, also behind others, and nobody else's", () => {
  const throughTwo = addHop(addHop(undefined, 'metahub-a'), 'metahub-b');
  expect(throughTwo).toBe('1.1 metahub-a, 1.1 metahub-b');
  expect(isLoop(throughTwo, 'metahub-a')).toBe(true);
  expect(isLoop(throughTwo, 'metahub-b')).toBe(true);
  expect(isLoop(throughTwo, 'metahub')).toBe(false);
});

test('a chain of too many mirrors is refused even when none of them is us', () => {
  let via: string | undefined;
  for (let hop = 0; hop < 7; hop++) via = addHop(via, `proxy-${hop}`);
  expect(isLoop(via, 'metahub-a')).toBe(false);
  expect(isLoop(addHop(via, 'proxy-7'), 'metahub-a')).toBe(true);
});
