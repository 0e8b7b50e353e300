import { describe, expect, test } from 'vitest';
import type { HostProfile } from '../../src/host/profile.ts';
import { viewOf } from '../../src/selection/host-view.ts';
import { hostOf } from '../support/host-of.ts';

describe('viewOf()', () => {
  test('returns the same view for the same profile', () => {
    const profile = hostOf('cpu:zen4');
    expect(viewOf(profile)).toBe(viewOf(profile));
    expect(viewOf(hostOf('cpu:zen4'))).not.toBe(viewOf(profile));
  });

  const NVIDIA = (computeCapability?: string) => ({
    vendor: 'nvidia',
    ...(computeCapability && { computeCapability }),
  });
  const AMD = (gfxTarget?: string) => ({ vendor: 'amd', ...(gfxTarget && { gfxTarget }) });

  test.each([
    ['no GPU and no claim', [], '', [], []],
    ['claims', [], 'nvcap:9.0 nvcap:8.6 gfx:gfx90a', ['9.0', '8.6'], ['gfx90a']],
    ['GPUs', [NVIDIA('9.0'), NVIDIA('8.0'), AMD('gfx942')], '', ['9.0', '8.0'], ['gfx942']],
    [
      'GPUs, whatever is claimed',
      [NVIDIA('9.0'), AMD('gfx942')],
      'nvcap:12.0 gfx:gfx90a',
      ['9.0'],
      ['gfx942'],
    ],
    [
      'GPUs of which one is unknown',
      [NVIDIA(), NVIDIA('9.0'), AMD(), AMD('gfx942')],
      '',
      ['9.0'],
      ['gfx942'],
    ],
    ['unknown GPUs, and claims', [NVIDIA(), AMD()], 'nvcap:8.6 gfx:gfx90a', ['8.6'], ['gfx90a']],
    ['a capability that is none', [NVIDIA('soon'), NVIDIA('9.0')], '', ['9.0'], []],
  ])('reads its GPUs from %s', (_, gpus, claimed, nvidia, amd) => {
    const profile: HostProfile = { ...hostOf(claimed), gpus: gpus as HostProfile['gpus'] };
    const view = viewOf(profile);
    expect(view.nvidia.map((version) => version.join('.'))).toEqual(nvidia);
    expect(view.amd).toEqual(amd);
  });

  test.each([
    ['nvdriver:550', ['12.4']],
    ['nvdriver:550 cuda:11.0', ['11.0']],
    ['nvdriver:soon', undefined],
    ['nvdriver:100', undefined],
    ['cpu:zen4', undefined],
  ])('of a host with %s: CUDA %j', (features, cuda) => {
    expect(viewOf(hostOf(features)).claims.get('cuda')).toEqual(cuda);
  });

  test('has the flags of its CPU and those that are claimed, and its ancestors', () => {
    const view = viewOf(hostOf('cpu:zen4 cpuflag:future'));
    expect([...view.flags]).toEqual(expect.arrayContaining(['avx512f', 'future']));
    expect([...view.runs]).toEqual(expect.arrayContaining(['zen4', 'zen3', 'zen', 'x86_64_v4', 'x86_64']));
    expect([...viewOf(hostOf('cpu:zen4')).flags].filter((flag) => !/^[a-z0-9_]+$/.test(flag))).toEqual([]);
  });

  test('has all values of a kind, and omits what is not a feature', () => {
    const profile = { ...hostOf('rack:a rack:b'), features: ['rack:a', '¿que?', 'rack:b'] };
    expect([...viewOf(profile).claims]).toEqual([['rack', ['a', 'b']]]);
  });
});
