import { describe, expect, test } from 'vitest';
import { openHostRoot } from '../../src/probe/host-root.ts';
import { treeHost, writeTree } from '../support/host-tree.ts';

describe('a host root', () => {
  test('reads a file below it, without the final line feed', () => {
    const { root } = treeHost({ 'proc/sys/kernel/osrelease': '6.1.0-44-amd64\n' });
    expect(root.text('/proc/sys/kernel/osrelease')).toBe('6.1.0-44-amd64');
  });

  test('reads a file of several chunks completely', () => {
    const long = 'processor : 0\n'.repeat(20_000);
    const { root } = treeHost({ 'proc/cpuinfo': long });
    expect(root.text('/proc/cpuinfo')).toBe(long.trimEnd());
  });

  test.each([4095, 4096, 5407, 65_535, 65_536, 65_537])('reads a file of %i bytes completely', (bytes) => {
    const long = 'abcdefg'.repeat(bytes).slice(0, bytes);
    const { root } = treeHost({ 'proc/cpuinfo': long });
    expect(root.text('/proc/cpuinfo')).toBe(long);
  });

  test('returns undefined for a missing file, and reports no problem', () => {
    const { root, problems } = treeHost({ 'proc/uptime': '1\n' });
    expect(root.text('/proc/cpuinfo')).toBeUndefined();
    expect(root.names('/sys/class/kfd')).toBeUndefined();
    expect(root.linkName('/sys/class/x')).toBeUndefined();
    expect(root.text('/proc/uptime/below-a-file')).toBeUndefined();
    expect(problems.warnings).toEqual([]);
  });

  test('does not follow a link out of a captured tree to this machine', () => {
    const { root } = treeHost({ 'etc/os-release': { link: '/etc/hostname' }, 'etc/inside': 'yes' });
    expect(root.text('/etc/os-release')).toBeUndefined();
    expect(root.text('/etc/inside')).toBe('yes');
    expect(root.text('/../../../etc/hostname')).toBeUndefined();
  });

  test('follows a link within the tree, and returns the target of one that was not captured', () => {
    const { root } = treeHost({
      'usr/lib/os-release': 'ID=debian\n',
      'etc/os-release': { link: '../usr/lib/os-release' },
      'sys/class/infiniband/mlx5_0/device/driver': { link: '../../../../bus/pci/drivers/mlx5_core' },
    });
    expect(root.text('/etc/os-release')).toBe('ID=debian');
    expect(root.linkName('/sys/class/infiniband/mlx5_0/device/driver')).toBe('mlx5_core');
  });

  test('reports a file that exists but cannot be read', () => {
    const path = writeTree({ 'proc/loop': { link: 'loop' } });
    const unreadable: string[] = [];
    const root = openHostRoot(path, { onUnreadable: (file, code) => unreadable.push(`${file} ${code}`) });
    expect(root.text('/proc/loop')).toBeUndefined();
    expect(unreadable).toEqual(['/proc/loop ELOOP']);
  });
});
