import { describe, expect, test } from 'vitest';
import { hostFeatures } from '../../src/host/features.ts';
import {
  findAccelerators,
  gfxName,
  readAmd,
  readPci,
  readPlatformAccelerators,
} from '../../src/probe/accelerators.ts';

import { pciFunction, type Tree, treeHost } from '../support/host-tree.ts';

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

  test('are counted once however they are partitioned', () => {
    const partition = 'simd_count 152\nunique_id 5\ngfx_target_version 90402\n';
    const { root } = treeHost({
      [`${NODES}/1/properties`]: partition,
      [`${NODES}/2/properties`]: partition,
      [`${NODES}/3/properties`]: partition.replace('unique_id 5', 'unique_id 6'),
    });
    expect(readAmd(root)).toHaveLength(2);
  });

  test('of a kernel too old to report the target are still detected', () => {
    const { root } = treeHost({ [`${NODES}/1/properties`]: 'simd_count 256\n' });
    expect(readAmd(root)).toEqual([{ vendor: 'amd' }]);
  });
});

describe('other accelerators', () => {
  // Ids and classes as lspci and sysfs print them in public reports: d802 and d803 in vllm-ascend's and MindCluster's, 1d94 with class
  // 0b4000 in gpustack/gpustack issue 5070, e20b in intel/llm-scaler's.
  test.each([
    ['1d0f:7064', '88000', 'neuron', 'aws', 'neuron-inf1'],
    ['1d0f:7164', '88000', 'neuron', 'aws', 'neuron-trn1'],
    ['1d0f:7264', '88000', 'neuron', 'aws', 'neuron-inf2'],
    ['1d0f:7364', '88000', 'neuron', 'aws', 'neuron-trn2'],
    ['1d0f:7565', '88000', 'neuron', 'aws', 'neuron-trn3'],
    ['1da3:1020', '120000', 'habanalabs', 'habana', 'habana-gaudi2'],
    ['1da3:1060', '120000', 'habanalabs', 'habana', 'habana-gaudi3'],
    ['1ae0:005e', '120000', 'vfio-pci', 'google', 'tpu-v4'],
    ['1ae0:0063', '120000', 'vfio-pci', 'google', 'tpu-v5e'],
    ['1ae0:006f', '120000', 'vfio-pci', 'google', 'tpu-v6e'],
    ['8086:0bd5', '38000', 'i915', 'intel', 'intel-max'],
    ['8086:56c0', '38000', 'i915', 'intel', 'intel-flex'],
    ['8086:56a0', '30000', 'i915', 'intel', 'intel-arc'],
    ['8086:e20b', '30000', 'xe', 'intel', 'intel-battlemage'],
    ['19e5:d500', '120000', 'devdrv_device_driver', 'huawei', 'ascend-310p'],
    ['19e5:d802', '120000', 'devdrv_device_driver', 'huawei', 'ascend-910b'],
    ['19e5:d803', '120000', 'devdrv_device_driver', 'huawei', 'ascend-a3'],
    ['1ed5:0201', '30000', 'mtgpu', 'mthreads', 'musa'],
    ['9999:4000', '38000', 'metax', 'metax', 'maca'],
    ['1d94:6210', 'b4000', 'hydcu', 'hygon', 'dtk'],
    ['1e3e:0001', '120000', 'iluvatar', 'iluvatar', 'corex'],
  ])('%s of class %s is claimed as an accelerator of %s', (id, pciClass, driver, vendor, accel) => {
    const { root } = treeHost(pciFunction('0000:10:1c.0', id, pciClass, driver));
    const gpus = findAccelerators(readPci(root));
    expect(gpus).toMatchObject([{ vendor, pciId: id, accel }]);
    const bare = {
      os: 'linux',
      architecture: 'amd64',
      cpu: { vendor: 'generic', flags: [] },
      system: {},
      local: [],
    };
    expect(hostFeatures({ ...bare, gpus })).toContain(`accel:${accel}`);
  });

  test.each([
    ['the audio function of a Moore Threads card', '1ed5:02ff', '40300'],
    ['a host bridge of a Hygon processor', '1d94:1480', '60000'],
    ['a network card of Huawei', '19e5:1822', '20000'],
    ['a Gaudi2 that a virtual machine has', '1da3:1020', '120000', 'vfio-pci'],
  ])('%s is not an accelerator', (_, id, pciClass, driver?: string) => {
    const { root } = treeHost(pciFunction('0000:10:1c.0', id, pciClass, driver));
    expect(findAccelerators(readPci(root))).toEqual([]);
  });

  test('exclude the display of a desktop', () => {
    const { root } = treeHost({
      ...pciFunction('0000:00:02.0', '8086:4680', '30000', 'i915'),
      ...pciFunction('0000:03:00.0', '1a03:2000', '30000', 'ast'),
    });
    expect(findAccelerators(readPci(root))).toEqual([]);
  });

  test('exclude an Intel GPU without a compute driver', () => {
    const { root } = treeHost(pciFunction('0000:10:00.0', '8086:0bda', '38000', 'vfio-pci'));
    expect(findAccelerators(readPci(root))).toEqual([]);
  });
});

describe('accelerators that are not on the PCI bus', () => {
  const platform = (tree: Tree) => {
    const { root } = treeHost(tree);
    return readPlatformAccelerators(root, readPci(root));
  };
  const RADEON = pciFunction('0000:03:00.0', '1002:744c', '30000', 'amdgpu');
  const MESA = 'usr/share/vulkan/icd.d';
  const DEVICE_TREE = 'sys/firmware/devicetree/base/compatible';
  const ORANGE_PI = 'xunlong,orangepi-5-plus\0rockchip,rk3588\0';

  test('are none on a host without files about them', () => {
    expect(platform({})).toEqual({});
  });

  test.each([
    ['# R32 (release), REVISION: 7.1, GCID: 29818004, BOARD: t210ref', 'jp4'],
    ['# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref', 'jp5'],
    ['# R36 (release), REVISION: 3.0, GCID: 36923193, BOARD: generic', 'jp6'],
    ['# R38 (release), REVISION: 2.0, GCID: 41844464, BOARD: generic', 'jp7'],
    ['# R99 (release), REVISION: 1.0', undefined],
  ])('%s is JetPack %s', (line, jetpack) => {
    expect(platform({ 'etc/nv_tegra_release': `${line}\n` }).jetpack).toBe(jetpack);
  });

  test('include a Rockchip NPU where its chip and the vendor’s driver are present', () => {
    const driver = { 'sys/module/rknpu/version': '0.9.8' };
    expect(platform({ [DEVICE_TREE]: ORANGE_PI, ...driver }).accelerators).toEqual(['rknn-rk3588']);
    expect(platform({ [DEVICE_TREE]: ORANGE_PI }).accelerators).toBeUndefined();
    expect(platform({ [DEVICE_TREE]: 'raspberrypi,5\0', ...driver }).accelerators).toBeUndefined();
  });

  test.each<[string, Tree, boolean]>([
    [
      'Mesa’s driver for a Radeon that is there',
      { ...RADEON, [`${MESA}/radeon_icd.x86_64.json`]: '{}' },
      true,
    ],
    [
      'Mesa’s driver for Intel beside a Radeon',
      { ...RADEON, [`${MESA}/intel_icd.x86_64.json`]: '{}' },
      false,
    ],
    ['llvmpipe, which computes on the CPU', { ...RADEON, [`${MESA}/lvp_icd.x86_64.json`]: '{}' }, false],
    ['no driver', RADEON, false],
    [
      'NVIDIA’s driver',
      {
        ...pciFunction('0000:01:00.0', '10de:2330', '30200', 'nvidia'),
        'etc/vulkan/icd.d/nvidia_icd.json': '{}',
      },
      true,
    ],
    [
      'a driver for a GPU that is handed to a virtual machine',
      {
        ...pciFunction('0000:01:00.0', '10de:2330', '30200', 'vfio-pci'),
        'etc/vulkan/icd.d/nvidia_icd.json': '{}',
      },
      false,
    ],
    [
      'a driver for a chip without PCI, with a render node',
      { [`${MESA}/panfrost_icd.aarch64.json`]: '{}', 'sys/class/drm/renderD128/dev': '226:128' },
      true,
    ],
  ])('include Vulkan by its driver %s: %#', (_, tree, expected) => {
    expect(platform(tree).accelerators?.includes('vulkan') ?? false).toBe(expected);
  });

  test('include Intel’s graphics where a driver that computes is bound to them', () => {
    expect(platform(pciFunction('0000:00:02.0', '8086:4680', '30000', 'i915')).graphics).toEqual(['intel']);
    expect(platform(pciFunction('0000:00:02.0', '8086:4680', '30000', 'vfio-pci')).graphics).toBeUndefined();
  });

  test('a Hygon DCU is not an AMD GPU, although the same kernel driver lists it', () => {
    const { root } = treeHost({
      [`${NODES}/1/properties`]: 'simd_count 240\nvendor_id 7572\ngfx_target_version 90006\n',
    });
    expect(readAmd(root)).toEqual([]);
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
