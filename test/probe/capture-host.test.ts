import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { capture } from '../../src/cli/commands/detect/capture.ts';
import { UserError } from '../../src/cli/user-error.ts';
import { deriveProfile } from '../../src/host/profile.ts';
import { probeHost } from '../../src/probe/host.ts';
import { pciFunction, writeTree } from '../support/host-tree.ts';
import { HOSTS, MUSEUM, museumHost } from '../support/museum.ts';

async function profileOf(root: string, architecture?: string) {
  const { facts } = await probeHost({ root, architecture, now: () => new Date() });
  return deriveProfile(facts);
}

function newDirectory(): string {
  return join(writeTree({ empty: '' }), 'copy');
}

describe('a captured host', () => {
  test('is detected like the machine itself', async () => {
    const copy = newDirectory();
    expect(await capture(copy, { root: '/' })).toContain('gives the same answer as on this host');
    expect(await profileOf(copy)).toEqual(await profileOf('/'));
  });

  test('is written as an archive beside its directory, also when that was given with a slash', async () => {
    const copy = newDirectory();
    expect(await capture(`${copy}/`, { root: '/' })).toContain(`tar -czf ${copy}.tar.gz ${copy}/\n`);
  });

  test.each(HOSTS.filter((host) => existsSync(join(MUSEUM, host, 'proc'))))(
    'of %s is detected like the original',
    async (host) => {
      const { architecture } = museumHost(host).platform;
      const copy = newDirectory();
      const said = await capture(copy, { root: join(MUSEUM, host), architecture });
      expect(said).toContain('gives the same answer as on this host');
      const [original, captured] = [
        await profileOf(join(MUSEUM, host), architecture),
        await profileOf(copy, architecture),
      ];
      expect(captured).toEqual(original);
    },
  );

  test('contains no serial number, no other lines of its files, and one PCI function of each kind beside the accelerators', async () => {
    const root = writeTree({
      'proc/cpuinfo':
        'processor\t: 0\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\n\nSerial\t\t: 10000000deadbeef\n',
      'proc/meminfo': 'MemTotal:  131072 kB\nMemFree:  1 kB\n',
      'etc/os-release': 'ID=debian\nVERSION_ID="12"\nHOME_URL="https://intranet.example"\n',
      'sys/class/kfd/kfd/topology/nodes/1/properties':
        'simd_count 304\ngfx_target_version 90402\nunique_id 12345678901234567890\n',
      ...pciFunction('0000:41:00.0', '10de:2330'),
      ...pciFunction('0000:41:00.1', '10de:2330'),
      ...pciFunction('0000:01:00.0', '8086:1572', '20000'),
      ...pciFunction('0000:01:00.1', '8086:1572', '20000'),
    });
    const copy = newDirectory();
    await capture(copy, { root, architecture: 'arm64' });
    const text = (path: string) => readFileSync(join(copy, path), 'utf8');
    expect(text('proc/cpuinfo')).not.toContain('deadbeef');
    expect(text('proc/meminfo')).toBe('MemTotal:  131072 kB\n');
    expect(text('etc/os-release')).toBe('ID=debian\nVERSION_ID="12"\n');
    expect(text('sys/class/kfd/kfd/topology/nodes/1/properties')).toContain('unique_id 567890\n');
    expect(readdirSync(join(copy, 'sys/bus/pci/devices'))).toEqual([
      '0000:01:00.0',
      '0000:41:00.0',
      '0000:41:00.1',
    ]);
  });

  test('never overwrites another', async () => {
    const directory = writeTree({ empty: '' });
    const refused = capture(directory, { root: '/' });
    await expect(refused).rejects.toThrow(UserError);
    await expect(refused).rejects.toMatchObject({ exitStatus: 2, nextStep: 'Name a new directory.' });
  });
});
