import { chmodSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import {
  parseCudaVersion,
  parseNvidiaSmi,
  queryCudaVersion,
  queryNvidiaSmi,
} from '../../src/probe/nvidia-smi.ts';
import { writeTree } from '../support/host-tree.ts';

function program(script: string): { path: string; folder: string } {
  const folder = writeTree({ 'nvidia-smi': `#!/bin/sh\n${script}\n` });
  const path = join(folder, 'nvidia-smi');
  chmodSync(path, 0o755);
  return { path, folder };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // A killed child whose parent has not reaped it yet still answers.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

describe('the output of nvidia-smi', () => {
  test('has the name of each of several different GPUs', () => {
    const rows = [
      '0, Tesla V100-PCIE-16GB, 00000000:3B:00.0, 0x1DB410DE, 7.0, 535.104.05',
      '1, NVIDIA L4, 00000000:AF:00.0, 0x27B810DE, 8.9, 535.104.05',
    ];
    expect(parseNvidiaSmi(rows.join('\n'), 0)).toEqual({
      kind: 'gpus',
      gpus: [
        {
          pciAddress: '0000:3b:00.0',
          name: 'Tesla V100-PCIE-16GB',
          computeCapability: '7.0',
          driver: '535.104.05',
        },
        { pciAddress: '0000:af:00.0', name: 'NVIDIA L4', computeCapability: '8.9', driver: '535.104.05' },
      ],
    });
  });

  test.each(['[N/A]', '[Not Supported]', '[Unknown Error]', '[GPU requires reset]', 'N/A'])(
    'is read without a value that is %s',
    (word) => {
      const answer = parseNvidiaSmi(`0, ${word}, 00000000:3B:00.0, 0x1DB410DE, ${word}, ${word}\n`, 0);
      expect(answer).toEqual({ kind: 'gpus', gpus: [{ pciAddress: '0000:3b:00.0' }] });
    },
  );

  test('is read with a PCI domain of more than four digits', () => {
    const answer = parseNvidiaSmi('0, NVIDIA GH200 480GB, 00010009:01:00.0, 0x234210DE, 9.0, 550.54.15', 0);
    expect(answer).toMatchObject({ gpus: [{ pciAddress: '10009:01:00.0' }] });
  });

  test.each([
    ['Field "compute_cap" is not a valid field to query.', 2, 'too old to report compute capabilities'],
    ['No devices were found', 6, 'found no device'],
    ["NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.", 9, 'could not reach'],
    [
      'Failed to initialize NVML: Driver/library version mismatch',
      18,
      'another version than the loaded driver',
    ],
    ['', 255, 'ended with status 255'],
    ['<?xml version="1.0"?>', 0, 'named no GPU'],
  ])('is explained for «%s» with status %i', (stdout, status, why) => {
    expect(parseNvidiaSmi(`${stdout}\n`, status)).toEqual({
      kind: 'unavailable',
      why: expect.stringContaining(why),
    });
  });
});

describe('running nvidia-smi', () => {
  test('returns its parsed output', async () => {
    const { path } = program('echo "0, NVIDIA X, 00000000:01:00.0, 0x340010DE, 13.0, 600.10"');
    expect(await queryNvidiaSmi({ program: path, limitMs: 60_000 })).toMatchObject({
      kind: 'gpus',
      gpus: [{ computeCapability: '13.0' }],
    });
  });

  test('reports that it is not installed', async () => {
    expect(await queryNvidiaSmi({ program: '/nonexistent/nvidia-smi' })).toEqual({
      kind: 'unavailable',
      why: 'is not installed',
    });
  });

  test('kills a hanging nvidia-smi with all its children, and continues', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const { path, folder } = program(`cd "$(dirname "$0")"; sleep 60 & echo $$ $! >new; mv new pids; wait`);
    const answer = queryNvidiaSmi({ program: path });
    await expect.poll(() => existsSync(join(folder, 'pids'))).toBe(true);
    vi.advanceTimersByTime(2000);
    expect(await answer).toEqual({ kind: 'unavailable', why: 'did not answer within 2 s and was killed' });
    const pids = readFileSync(join(folder, 'pids'), 'utf8').split(' ').map(Number);
    await expect.poll(() => pids.filter(isAlive)).toEqual([]);
  });

  test('does not wait for a grandchild that keeps its output open', async () => {
    const { path, folder } = program(
      'cd "$(dirname "$0")"; sleep 600 & echo $! >pid; echo "0, NVIDIA X, 00000000:01:00.0, 0x340010DE, 13.0, 600.10"',
    );
    const answer = await queryNvidiaSmi({ program: path, limitMs: 60_000 });
    process.kill(Number(readFileSync(join(folder, 'pid'), 'utf8')));
    expect(answer.kind).toBe('gpus');
  });

  test('limits endless output', async () => {
    const { path } = program('yes');
    expect(await queryNvidiaSmi({ program: path, limitMs: 300 })).toMatchObject({ kind: 'unavailable' });
  });

  test('stops when the caller aborts', async () => {
    const { path } = program('sleep 60');
    const answer = await queryNvidiaSmi({ program: path, signal: AbortSignal.abort() });
    expect(answer.kind).toBe('unavailable');
  });
});

describe('the highest CUDA version of a driver', () => {
  test.each([
    ['| NVIDIA-SMI 535.104.05   Driver Version: 535.104.05   CUDA Version: 12.2     |', '12.2'],
    ['| NVIDIA-SMI 595.45.04   KMD Version: 595.45.04   CUDA UMD Version: 13.2     |', '13.2'],
    ['NVIDIA-SMI has failed', undefined],
  ])('is read from “%s”', (line, cuda) => {
    expect(parseCudaVersion(`Thu Nov 26\n${line}\n`)).toBe(cuda);
  });

  test('is undefined where the program is missing', async () => {
    expect(await queryCudaVersion({ program: '/no/such/nvidia-smi' })).toBeUndefined();
    const { path } = program('echo "CUDA Version: 13.5"');
    expect(await queryCudaVersion({ program: path })).toBe('13.5');
  });
});
