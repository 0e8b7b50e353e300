import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { deriveProfile } from '../../src/host/profile.ts';
import { probeHost } from '../../src/probe/host.ts';
import { writeTree } from '../support/host-tree.ts';

const SCRIPT = fileURLToPath(new URL('../../scripts/capture-host.sh', import.meta.url));

function capture(to: string) {
  return spawnSync('sh', [SCRIPT, to], { encoding: 'utf8' });
}

async function featuresOf(root: string): Promise<readonly string[]> {
  const { facts } = await probeHost({ root, now: () => new Date() });
  return deriveProfile(facts).features;
}

describe.skipIf(process.platform !== 'linux')('a captured host', () => {
  test('is detected as the machine itself', async () => {
    const copy = join(writeTree({ empty: '' }), 'copy');
    const { status, stderr } = capture(copy);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(await featuresOf(copy)).toEqual(await featuresOf('/'));
  });

  test('is never written over another', () => {
    const { status, stderr } = capture(writeTree({ empty: '' }));
    expect(status).toBe(1);
    expect(stderr).toContain('name a new directory');
  });
});
