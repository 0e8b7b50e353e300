import { describe, expect, test } from 'vitest';
import { findAccelerators } from '../../src/probe/accelerators.ts';
import { gfxName, readAmd } from '../../src/probe/amd.ts';
import { readPci } from '../../src/probe/pci.ts';
import { pciFunction, treeHost } from '../support/host-tree.ts';

const NODES = 'sys/class/kfd/kfd/topology/nodes';

describe('AMD GPUs', () => {
  test.each([
    [90010n, 'gfx90a'],
    [90402n, 'gfx942'],
    [90500n, 'gfx950'],
    [90008n, 'gfx908'],
    [100300n, 'gfx1030'],
    [110000n, 'gfx1100'],
    [0n, undefined],
  ])('target version %i is %s', (version, name) => {
    expect(gfxName(version)).toBe(name);
  });

  test('are the nodes with SIMD units; CPU nodes are not', () => {
    const { root } = treeHost({
      [`${NODES}/0/properties`]: 'cpu_cores_count 64\nsimd_count 0\ngfx_target_version 0\n',
      [`${NODES}/1/properties`]:
        'simd_count 440\nunique_id 11743606029106520\ngfx_target_version 90010\ndevice_id 29704\nvendor_id 4098\n',
    });
    expect(readAmd(root)).toEqual([
      { vendor: 'amd', name: 'AMD gfx90a', pciId: '1002:7408', gfxTarget: 'gfx90a' },
    ]);
  });

  test('count once however they are partitioned', () => {
    const partition = 'simd_count 152\nunique_id 5\ngfx_target_version 90402\n';
    const { root } = treeHost({
      [`${NODES}/1/properties`]: partition,
      [`${NODES}/2/properties`]: partition,
      [`${NODES}/3/properties`]: partition.replace('unique_id 5', 'unique_id 6'),
    });
    expect(readAmd(root)).toHaveLength(2);
  });

  test('of a kernel too old to tell the target are still seen', () => {
    const { root } = treeHost({ [`${NODES}/1/properties`]: 'simd_count 256\n' });
    expect(readAmd(root)).toEqual([{ vendor: 'amd' }]);
  });
});

describe('other accelerators', () => {
  test.each([
    ['1d0f:7364', '88000', 'aws', 'neuron'],
    ['1da3:1020', '120000', 'habana', 'habanalabs'],
    ['1ae0:0063', '120000', 'google', 'vfio-pci'],
    ['8086:0bd5', '38000', 'intel', 'i915'],
  ])('%s is one of %s', (id, pciClass, vendor, driver) => {
    const { root } = treeHost(pciFunction('0000:10:1c.0', id, pciClass, driver));
    expect(findAccelerators(readPci(root))).toMatchObject([{ vendor, pciId: id }]);
  });

  test('do not include the display of a desktop', () => {
    const { root } = treeHost({
      ...pciFunction('0000:00:02.0', '8086:4680', '30000', 'i915'),
      ...pciFunction('0000:03:00.0', '1a03:2000', '30000', 'ast'),
    });
    expect(findAccelerators(readPci(root))).toEqual([]);
  });

  test('an Intel GPU without a compute driver does not count', () => {
    const { root } = treeHost(pciFunction('0000:10:00.0', '8086:0bda', '38000', 'vfio-pci'));
    expect(findAccelerators(readPci(root))).toEqual([]);
  });
});

describe('a PCI function', () => {
  test('is read from its attributes where uevent was not captured', () => {
    const device = 'sys/bus/pci/devices/0000:01:00.0';
    const { root } = treeHost({
      [`${device}/vendor`]: '0x10de\n',
      [`${device}/device`]: '0x2330\n',
      [`${device}/class`]: '0x030200\n',
      [`${device}/driver`]: { link: '../../../../bus/pci/drivers/nvidia' },
    });
    expect(readPci(root)).toEqual([
      { address: '0000:01:00.0', vendor: '10de', device: '2330', class: '030200', driver: 'nvidia' },
    ]);
  });
});
