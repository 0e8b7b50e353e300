import { expect, test } from 'vitest';
import { linkOf } from '../../src/upstream/tags.ts';

test.each([
  ['</next>; rel="next"', '/next'],
  ['</next>;rel=next', '/next'],
  ['</next>; type="application/json"; rel="next"', '/next'],
  ['</next>; title="a, b; rel=\\"prev\\""; REL="Next"', '/next'],
  ['</prev>; rel="prev", </next>; rel="last next"', '/next'],
  ['</next?cursor=a,b;c>; rel = "next" ; foo', '/next?cursor=a,b;c'],
  ['</next>; rel=next;, </x>; rel=prev', '/next'],
  // The first of two counts: https://www.rfc-editor.org/rfc/rfc8288#section-3.3
  ['</next>; rel="prev"; rel="next"', undefined],
  ['</next>; rel="nextpage"', undefined],
  ['</next>; title="rel=next"', undefined],
  ['/next; rel="next"', undefined],
  ['', undefined],
])('fault 74: corners of the grammar of HTTP: the next page in Link: %s is %s', (header, expected) => {
  expect(linkOf(header, 'next')).toBe(expected);
});

test.each([
  [16 * 1024, true],
  [16 * 1024 + 1, false],
])('a Link of %d characters is read to its end: %s', (characters, isRead) => {
  const rest = '>; rel=next';
  const target = `/${'x'.repeat(characters - rest.length - 2)}`;
  expect(linkOf(`<${target}${rest}`, 'next')).toBe(isRead ? target : undefined);
});
