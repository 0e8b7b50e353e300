import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openHostRoot } from '../../src/probe/host-root.ts';
import { temporaryFolder } from '../support/folder.ts';

test('a captured tree with a FIFO in a file’s place does not block the probe', () => {
  const folder = temporaryFolder();
  execFileSync('mkfifo', [join(folder, 'cpuinfo')]);
  writeFileSync(join(folder, 'real'), 'text\n');
  const root = openHostRoot(folder, { onUnreadable: () => {} });
  expect([root.text('/cpuinfo'), root.head('/cpuinfo')]).toEqual([undefined, undefined]);
  expect(root.text('/real')).toBe('text');
});
