import { expect, test } from 'vitest';
import { connectionsWithin } from '../../../src/cli/serve/file-handles.ts';

test.each([
  [1_048_576, 4096],
  [65_536, 4096],
  [4096, 1354],
  [1024, 330],
  [96, 21],
  [40, 8],
])('a process that may open %i files accepts %i connections', (handles, connections) => {
  expect(connectionsWithin(handles)).toBe(connections);
});
