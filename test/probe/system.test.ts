import { describe, expect, test } from 'vitest';
import { readPci } from '../../src/probe/accelerators.ts';
import { parseOsRelease, readFabrics, readGlibc, readSystem } from '../../src/probe/system.ts';
import { pciFunction, type Tree, treeHost } from '../support/host-tree.ts';

describe('the version of glibc', () => {
  test.each<[string, Tree, string | undefined]>([
    ["Debian's ldd", { 'usr/bin/ldd': "    echo 'ldd (Debian GLIBC 2.36-9+deb12u14) 2.36'\n" }, '2.36'],
    ["Red Hat's ldd", { 'usr/bin/ldd': "    echo 'ldd (GNU libc) 2.34'\n" }, '2.34'],
    ['the name of the library', { 'lib64/libc.so.6': { link: 'libc-2.17.so' } }, '2.17'],
    [
      'the banner in the library',
      {
        'lib/aarch64-linux-gnu/libc.so.6':
          '\0\0GNU C Library (Ubuntu GLIBC 2.39-0ubuntu8) stable release version 2.39.\n',
      },
      '2.39',
    ],
    [
      'a musl host',
      { 'usr/bin/ldd': '#!/bin/sh\nexec /lib/ld-musl-x86_64.so.1 --list -- "$@"\n' },
      undefined,
    ],
  ])('is found in %s', (_where, tree, version) => {
    expect(readGlibc(treeHost(tree).root)).toBe(version);
  });
});

describe('the facts of the system', () => {
  const KERNEL: Tree = { 'proc/sys/kernel/osrelease': '6.8.0-49-generic\n' };

  test.each([
    ['QEMU', 'Standard PC (Q35 + ICH9, 2009)'],
    ['VMware, Inc.', 'VMware Virtual Platform'],
    ['innotek GmbH', 'VirtualBox'],
    ['Microsoft Corporation', 'Virtual Machine'],
    ['Red Hat', 'KVM'],
    ['OpenStack Foundation', 'OpenStack Nova'],
    ['Xen', 'HVM domU'],
    ['Amazon EC2', 'c7i.large'],
    ['Google', 'Google Compute Engine'],
    ['Parallels International GmbH.', 'Parallels Virtual Platform'],
    ['Apple Inc.', 'Apple Virtualization Generic Platform'],
    ['FreeBSD', 'BHYVE'],
  ])('include a virtual machine by the firmware tables of %s, %s', (vendor, product) => {
    const { root, problems } = treeHost({
      ...KERNEL,
      'sys/class/dmi/id/sys_vendor': `${vendor}\n`,
      'sys/class/dmi/id/product_name': `${product}\n`,
    });
    expect(readSystem(root, problems).virtual).toBe(true);
  });

  test.each([
    ['Dell Inc.', 'PowerEdge R760'],
    ['Microsoft Corporation', 'Surface Laptop 7th Edition'],
    ['Amazon EC2', 'c7i.metal-24xl'],
    ['Apple Inc.', 'MacBookPro16,1'],
  ])('include no virtual machine by the firmware tables of %s, %s', (vendor, product) => {
    const { root, problems } = treeHost({
      ...KERNEL,
      'sys/class/dmi/id/sys_vendor': `${vendor}\n`,
      'sys/class/dmi/id/product_name': `${product}\n`,
    });
    expect(readSystem(root, problems).virtual).toBeUndefined();
  });

  test('are read from their files', () => {
    const { root, problems } = treeHost({
      ...KERNEL,
      'etc/os-release': 'NAME="Ubuntu"\nID=ubuntu\nVERSION_ID="24.04"\nID_LIKE=debian\n',
      'proc/meminfo': 'MemTotal:       16384 kB\nMemFree: 1 kB\n',
      'sys/devices/system/cpu/smt/active': '1\n',
      'sys/devices/system/node/node0/cpulist': '0-3\n',
      'sys/devices/system/node/node1/cpulist': '4-7\n',
      'sys/devices/system/node/possible': '0-1\n',
      'sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages': '512\n',
      'sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages': '4\n',
      'sys/kernel/mm/hugepages/hugepages-64kB/nr_hugepages': '0\n',
    });
    expect(readSystem(root, problems)).toEqual({
      kernel: '6.8.0-49-generic',
      osId: 'ubuntu',
      osVersion: '24.04',
      smt: true,
      numaNodes: 2,
      memoryBytes: 16384 * 1024,
      hugepages: ['2Mi', '1Gi'],
    });
    expect(problems.warnings).toEqual([]);
  });

  test('have only what was read, with a warning where selection would need more', () => {
    const { root, problems } = treeHost({ 'proc/uptime': '1' });
    expect(readSystem(root, problems)).toEqual({});
    expect(problems.warnings).toEqual([
      '/proc/sys/kernel/osrelease is missing: entries that demand a kernel version will not match',
    ]);
    expect(problems.failed()).toBe(false);
  });

  test('include SMT from the siblings of CPU 0 on an old kernel', () => {
    const siblings = (list: string) =>
      readSystem(
        treeHost({ ...KERNEL, 'sys/devices/system/cpu/cpu0/topology/thread_siblings_list': list }).root,
        { warn: () => {}, fail: () => {} },
      ).smt;
    expect(siblings('0,32')).toBe(true);
    expect(siblings('0-1')).toBe(true);
    expect(siblings('0')).toBe(false);
  });

  test.each([
    ['Amazon EC2', 'c5.9xlarge', 'c5.9xlarge'],
    ['Amazon EC2', 'u-6tb1.metal', 'u-6tb1.metal'],
    ['Google', 'Google Compute Engine', undefined],
    ['Microsoft Corporation', 'Virtual Machine', undefined],
    ['Xen', 'HVM domU', undefined],
  ])('of %s "%s" have the instance type %s', (vendor, product, type) => {
    const { root, problems } = treeHost({
      ...KERNEL,
      'sys/class/dmi/id/sys_vendor': `${vendor}\n`,
      'sys/class/dmi/id/product_name': `${product}\n`,
    });
    expect(readSystem(root, problems).instanceType).toBe(type);
  });

  test.each([
    ['ID=debian\nVERSION_ID="12"\n', 'debian', '12'],
    ["ID='rocky'\nVERSION_ID='9.4'\n", 'rocky', '9.4'],
    ['NAME=Arch\nID=arch\n', 'arch', undefined],
    ['', undefined, undefined],
  ])('include os-release %j', (text, osId, osVersion) => {
    expect(parseOsRelease(text)).toEqual({ osId, osVersion });
  });
});

describe('network fabrics', () => {
  const port = (device: string, linkLayer: string, state = '4: ACTIVE', driver = 'mlx5_core'): Tree => ({
    [`sys/class/infiniband/${device}/ports/1/link_layer`]: `${linkLayer}\n`,
    [`sys/class/infiniband/${device}/ports/1/state`]: `${state}\n`,
    [`sys/class/infiniband/${device}/device/driver`]: { link: `../../../../bus/pci/drivers/${driver}` },
  });

  test.each<[string, Tree, readonly string[]]>([
    ['InfiniBand', port('mlx5_0', 'InfiniBand'), ['ib']],
    ['RoCE', port('mlx5_0', 'Ethernet'), ['roce']],
    ['both at once', { ...port('mlx5_0', 'InfiniBand'), ...port('mlx5_1', 'Ethernet') }, ['ib', 'roce']],
    ['Omni-Path', port('hfi1_0', 'InfiniBand', '4: ACTIVE', 'hfi1'), ['opa']],
    ['EFA by its driver', port('efa_0', 'Unknown', '4: ACTIVE', 'efa'), ['efa']],
    ['EFA by its PCI id', pciFunction('0000:00:1d.0', '1d0f:efa2', '20000'), ['efa']],
    ['Slingshot', { 'sys/class/cxi/cxi0/device/properties/nid': '0x12\n' }, ['slingshot']],
    ['nothing', {}, []],
  ])('are read from /sys: %s', (_what, tree, fabrics) => {
    const { root, problems } = treeHost(tree);
    expect(readFabrics(root, readPci(root), problems)).toEqual(fabrics);
  });

  test('are not claimed for a port that is down', () => {
    const { root, problems } = treeHost(port('mlx5_0', 'InfiniBand', '1: DOWN'));
    expect(readFabrics(root, [], problems)).toEqual([]);
    expect(problems.warnings).toEqual(['port 1 of mlx5_0 is down: fabric:ib is not claimed for it']);
  });
});
