import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { openHostRoot } from '../../src/probe/host-root.ts';

test('a FIFO in the place of a file of a captured tree is no file, and nobody waits for it', () => {
  const folder = mkdtempSync(join(tmpdir(), 'metahub-root-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  execFileSync('mkfifo', [join(folder, 'cpuinfo')]);
  writeFileSync(join(folder, 'real'), 'text\n');
  const root = openHostRoot(folder, { onUnreadable: () => {} });
  expect([root.text('/cpuinfo'), root.head('/cpuinfo')]).toEqual([undefined, undefined]);
  expect(root.text('/real')).toBe('text');
});
