import { describe, expect, test } from 'vitest';
import { readPci } from '../../src/probe/accelerators.ts';
import { parseNvidiaVersion, readNvidia } from '../../src/probe/nvidia.ts';
import type { SmiAnswer } from '../../src/probe/nvidia-smi.ts';
import { pciFunction, type Tree, treeHost } from '../support/host-tree.ts';

const DRIVER: Tree = { 'sys/module/nvidia/version': '535.104.05\n' };

interface Answers {
  readonly isLive?: boolean;
  readonly answer?: SmiAnswer;
  readonly cuda?: string;
}

async function probe(tree: Tree, { isLive = false, answer, cuda }: Answers = {}) {
  const { root, problems } = treeHost(tree, { isLive });
  const programs: (string | undefined)[] = [];
  let asked = 0;
  const querySmi = async (program?: string): Promise<SmiAnswer> => {
    asked += 1;
    programs.push(program);
    return answer ?? { kind: 'unavailable', why: 'is not installed' };
  };
  const queryCuda = async (program?: string) => {
    programs.push(program);
    return cuda;
  };
  const facts = await readNvidia({ root, pci: readPci(root), problems, querySmi, queryCuda });
  return { ...facts, asked, programs, warnings: problems.warnings, failed: problems.failed() };
}

describe('NVIDIA GPUs', () => {
  test('are identified by PCI id alone, without running nvidia-smi', async () => {
    const found = await probe({ ...pciFunction('0000:41:00.0', '10de:2330'), ...DRIVER }, { isLive: true });
    expect(found).toMatchObject({
      driver: '535.104.05',
      gpus: [{ vendor: 'nvidia', name: 'NVIDIA GH100', pciId: '10de:2330', computeCapability: '9.0' }],
      asked: 0,
      warnings: [],
      failed: false,
    });
  });

  test('are distinguished from their audio functions and from NVSwitch', async () => {
    const { gpus } = await probe({
      ...pciFunction('0000:41:00.0', '10de:2330'),
      ...pciFunction('0000:41:00.1', '10de:22ba', '40300'),
      ...pciFunction('0000:85:00.0', '10de:22a3', '68000'),
      ...DRIVER,
    });
    expect(gpus).toHaveLength(1);
  });

  test('have the driver’s name for them, and whether they are partitioned', async () => {
    const { gpus } = await probe({
      ...pciFunction('0000:07:00.0', '10de:20b2'),
      ...DRIVER,
      'proc/driver/nvidia/gpus/0000:07:00.0/information':
        'Model: \t\t NVIDIA A100-SXM4-80GB\nIRQ:   \t\t 345\nDevice Minor: \t 0\n',
      'proc/driver/nvidia/capabilities/gpu0/mig/gi1/access': 'DeviceFileMinor: 3\n',
    });
    expect(gpus).toMatchObject([{ name: 'NVIDIA A100-SXM4-80GB', mig: true }]);
  });

  test('that are not in the table are queried from nvidia-smi, by address', async () => {
    const tree = {
      ...pciFunction('0000:3b:00.0', '10de:3400'),
      ...pciFunction('0000:af:00.0', '10de:27b8'),
      ...DRIVER,
    };
    const answer: SmiAnswer = {
      kind: 'gpus',
      gpus: [
        { pciAddress: '0000:af:00.0', computeCapability: '8.9' },
        { pciAddress: '0000:3b:00.0', name: 'NVIDIA R200', computeCapability: '13.0' },
      ],
    };
    const found = await probe(tree, { isLive: true, answer });
    expect(found.asked).toBe(1);
    expect(found.gpus.map((gpu) => gpu.computeCapability)).toEqual(['13.0', '8.9']);
    expect(found.gpus[0]?.name).toBe('NVIDIA R200');
    expect(found.failed).toBe(false);
  });

  test('that neither knows have no capability, and the probe reports a failure', async () => {
    const found = await probe(
      { ...pciFunction('0000:3b:00.0', '10de:3400'), ...DRIVER },
      { isLive: true, answer: { kind: 'unavailable', why: 'did not answer within 2 s and was killed' } },
    );
    expect(found.gpus[0]?.computeCapability).toBeUndefined();
    expect(found.failed).toBe(true);
    expect(found.warnings).toEqual([
      'the NVIDIA GPU 10de:3400 at 0000:3b:00.0 is unknown and nvidia-smi did not answer within 2 s and was killed: no nvcap feature for it',
    ]);
  });

  test.each([
    ['one GPU, one answer', ['3b'], ['af'], ['13.0']],
    ['one GPU, two answers', ['3b'], ['af', 'd8'], [undefined]],
    ['two GPUs, one answer', ['3b', '5e'], ['af'], [undefined, undefined]],
    ['two GPUs, one of them answered', ['3b', '5e'], ['5e'], [undefined, '13.0']],
    ['a known GPU and an unknown one, the known one answered', ['k3b', '5e'], ['3b'], ['8.9', undefined]],
  ])('get the capability of another address only where there is one of each: %s', async (...row) => {
    const [, cards, answered, capabilities] = row;
    const tree = cards.map((bus) =>
      pciFunction(`0000:${bus.slice(-2)}:00.0`, bus.startsWith('k') ? '10de:27b8' : '10de:3400'),
    );
    const answer: SmiAnswer = {
      kind: 'gpus',
      gpus: answered.map((bus) => ({ pciAddress: `0000:${bus}:00.0`, computeCapability: '13.0' })),
    };
    const found = await probe(Object.assign({}, DRIVER, ...tree), { isLive: true, answer });
    expect(found.gpus.map((gpu) => gpu.computeCapability)).toEqual(capabilities);
    expect(found.failed).toBe(capabilities.includes(undefined));
  });

  test('of a captured tree are read without running a program', async () => {
    const found = await probe({ ...pciFunction('0000:3b:00.0', '10de:3400'), ...DRIVER });
    expect(found.asked).toBe(0);
    expect(found.warnings[0]).toContain('cannot be run for a captured tree');
  });

  test('without a driver are reported, with the consequence', async () => {
    const found = await probe(pciFunction('0000:01:00.0', '10de:1db1', '30200', 'nouveau'));
    expect(found.gpus[0]?.computeCapability).toBe('7.0');
    expect(found.driver).toBeUndefined();
    expect(found.warnings).toEqual(['no NVIDIA driver is loaded: containers cannot use the GPU until it is']);
  });

  test('passed through to virtual machines do not count', async () => {
    const found = await probe({
      ...pciFunction('0000:01:00.0', '10de:2330', '30200', 'vfio-pci'),
      ...pciFunction('0000:02:00.0', '10de:2330', '30200', 'nvidia'),
      ...DRIVER,
    });
    expect(found.gpus).toMatchObject([{ pciAddress: '0000:02:00.0' }]);
    expect(found.warnings[0]).toContain('vfio-pci');
  });

  test('older than Fermi have no capability, which is not a failure', async () => {
    const tree = { ...pciFunction('0000:01:00.0', '10de:0191', '30000'), ...DRIVER };
    const found = await probe(tree, { isLive: true });
    expect(found.gpus).toHaveLength(1);
    expect([found.asked, found.failed]).toEqual([0, false]);
    const beside = { ...tree, ...pciFunction('0000:3b:00.0', '10de:3400') };
    expect((await probe(beside, { isLive: true })).warnings).toEqual([
      'the NVIDIA GPU 10de:3400 at 0000:3b:00.0 is unknown and nvidia-smi is not installed: no nvcap feature for it',
    ]);
  });

  test('that are unknown are not queried from nvidia-smi while no driver is loaded', async () => {
    const found = await probe(pciFunction('0000:3b:00.0', '10de:3400'), { isLive: true });
    expect([found.asked, found.failed]).toEqual([0, true]);
    expect(found.warnings[0]).toContain('has no loaded driver to query');
  });

  test('on the PCI bus count even when the device tree names a Jetson', async () => {
    const { gpus } = await probe({
      ...pciFunction('0000:41:00.0', '10de:2330'),
      ...DRIVER,
      'sys/firmware/devicetree/base/compatible': 'nvidia,tegra234\0',
    });
    expect(gpus).toMatchObject([{ computeCapability: '9.0' }]);
  });

  test.each(['nvidia,tegra1', 'nvidia,toString', 'nvidia,tegra234x'])(
    'are none where the device tree has %s',
    async (compatible) => {
      const { gpus } = await probe({ 'sys/firmware/devicetree/base/compatible': `${compatible}\0` });
      expect(gpus).toEqual([]);
    },
  );

  test('have a driver only with a version that can be read', async () => {
    const gpu = pciFunction('0000:41:00.0', '10de:2330');
    const versions = ['535.104.05', '535', 'unknown', '535.104-rc1'].map(
      async (version) => (await probe({ ...gpu, 'sys/module/nvidia/version': `${version}\n` })).driver,
    );
    expect(await Promise.all(versions)).toEqual(['535.104.05', undefined, undefined, undefined]);
  });

  test.each([
    ['gi1', true],
    ['config', false],
  ])('whose capabilities have a directory %s are partitioned: %s', async (folder, isPartitioned) => {
    const { gpus } = await probe({
      ...pciFunction('0000:07:00.0', '10de:20b2'),
      ...DRIVER,
      'proc/driver/nvidia/gpus/0000:07:00.0/information': 'Model: \t\t Unknown\nDevice Minor: \t 0\n',
      [`proc/driver/nvidia/capabilities/gpu0/mig/${folder}/access`]: 'DeviceFileMinor: 3\n',
    });
    expect(gpus.map(({ name, mig = false }) => [name, mig])).toEqual([['NVIDIA GA100', isPartitioned]]);
  });

  test('of a Jetson are read from the device tree', async () => {
    const { gpus } = await probe({
      'sys/firmware/devicetree/base/compatible':
        'nvidia,p3737-0000+p3701-0000\0nvidia,tegra999\0nvidia,tegra234\0',
      'sys/firmware/devicetree/base/model': 'NVIDIA Jetson AGX Orin Developer Kit\0',
    });
    expect(gpus).toEqual([
      {
        vendor: 'nvidia',
        name: 'NVIDIA Jetson AGX Orin Developer Kit',
        computeCapability: '8.7',
        integrated: true,
      },
    ]);
  });
});

describe("the driver's version", () => {
  test.each([
    [
      'the closed module',
      'NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\nGCC version:  gcc version 12.2.0',
      '535.104.05',
    ],
    [
      'the open module',
      'NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  565.57.01  Release Build  (dvs-builder@U16)',
      '565.57.01',
    ],
    ['nonsense', 'NVRM version: ?', undefined],
  ])('is read from %s', (_what, text, version) => {
    expect(parseNvidiaVersion(text)).toBe(version);
  });
});

describe('a driver newer than the table', () => {
  const gpu = pciFunction('0000:41:00.0', '10de:2330');

  test('reports itself which CUDA version it runs', async () => {
    const tree = { ...gpu, 'sys/module/nvidia/version': '690.12\n' };
    expect(await probe(tree, { isLive: true, cuda: '14.1' })).toMatchObject({
      driver: '690.12',
      cuda: '14.1',
    });
  });

  test('runs at least the newest CUDA of the table where it does not report one', async () => {
    const tree = { ...gpu, 'sys/module/nvidia/version': '690.12\n' };
    expect((await probe(tree, { isLive: true })).cuda).toBeUndefined();
    expect((await probe(tree, { cuda: '14.1' })).programs).toEqual([]);
  });

  test('is not queried when the table has the driver’s version', async () => {
    const found = await probe({ ...gpu, ...DRIVER }, { isLive: true, cuda: '14.1' });
    expect(found.programs).toEqual([]);
    expect(found.cuda).toBeUndefined();
  });
});

describe('Windows Subsystem for Linux 2', () => {
  const DXG: Tree = { 'dev/dxg': '' };
  const WSL_SMI = '/usr/lib/wsl/lib/nvidia-smi';
  const answer: SmiAnswer = {
    kind: 'gpus',
    gpus: [
      {
        pciAddress: '0000:01:00.0',
        name: 'NVIDIA GeForce RTX 4090',
        computeCapability: '8.9',
        driver: '566.36',
      },
    ],
  };

  test('has the GPUs that nvidia-smi of Windows’ driver lists', async () => {
    const found = await probe(DXG, { isLive: true, answer, cuda: '12.7' });
    expect(found).toMatchObject({
      gpus: [{ vendor: 'nvidia', name: 'NVIDIA GeForce RTX 4090', computeCapability: '8.9' }],
      driver: '566.36',
      cuda: '12.7',
      programs: [WSL_SMI, WSL_SMI],
      warnings: [],
    });
  });

  test('without that program has none, and a warning names it', async () => {
    const found = await probe(DXG, { isLive: true });
    expect(found.gpus).toEqual([]);
    expect(found.warnings.join()).toContain(`${WSL_SMI} is not installed`);
    expect(found.failed).toBe(false);
  });

  test('that was captured runs no program, with a message', async () => {
    const found = await probe(DXG, { answer });
    expect(found.programs).toEqual([]);
    expect(found.warnings.join()).toContain('/dev/dxg');
  });

  test('with a GPU on the PCI bus has the GPU from there', async () => {
    const tree = { ...DXG, ...pciFunction('0000:41:00.0', '10de:2330'), ...DRIVER };
    expect((await probe(tree, { isLive: true, answer })).programs).toEqual([]);
  });
});
