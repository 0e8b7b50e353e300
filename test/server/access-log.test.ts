import { expect, test } from 'vitest';
import { loggedPath } from '../../src/server/access-log.ts';

test.each([
  [300, 300],
  [301, 300],
])('of a path of %d characters, the log shows %d, and nothing of its query', (characters, shown) => {
  const path = '/'.padEnd(characters, 'x');
  expect(loggedPath(`${path}?secret`)).toBe(path.slice(0, shown));
});
