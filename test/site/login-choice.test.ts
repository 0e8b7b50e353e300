import { describe, expect, test } from 'vitest';
import { profileOfFeatures } from '../../src/host/assumed-features.ts';
import type { HostProfile } from '../../src/host/profile.ts';
import { chooseLogin } from '../../src/site/login-choice.ts';

const type = (name: string, ...features: string[]) => ({ name, login: `site-${name}`, features });

const TYPES = [
  type('plain'),
  type('broadwell', 'cpu:broadwell'),
  type('skylake', 'cpu:skylake'),
  type('zen4', 'cpu:znver4'),
  type('gpu', 'cpu:zen4', 'nvcap:9.0'),
  type('gpu-ib', 'cpu:zen4', 'nvcap:9.0', 'fabric:ib'),
];

function host(...features: string[]): HostProfile {
  const profile = profileOfFeatures(features);
  // As detect lists it: with what follows from the CPU.
  return { ...profile, features: [...profile.features, 'x86-64-v3', 'cpuvendor:AuthenticAMD', 'kernel:6.1'] };
}

describe('chooseLogin()', () => {
  test.each([
    ['the type of its CPU', ['cpu:broadwell'], 'site-broadwell'],
    ['a type in another spelling', ['cpu:zen4'], 'site-zen4'],
    ['the type that names its GPU too', ['cpu:zen4', 'nvcap:9.0'], 'site-gpu'],
    ['the type with the most features', ['cpu:zen4', 'nvcap:9.0', 'fabric:ib'], 'site-gpu-ib'],
  ])('chooses %s', (_, features, login) => {
    expect(chooseLogin({ user: 'site', types: TYPES }, host(...features))).toEqual({
      login,
      kind: 'machine type',
    });
  });

  test.each(['level:none', 'two words', ''])('passes over a type with %j, which is no feature', (text) => {
    const types = [type('odd', 'cpu:zen4', text), type('zen4', 'cpu:zen4')];
    const chosen = chooseLogin({ user: 'site', types }, host('cpu:zen4'));
    expect(chosen).toEqual({ login: 'site-zen4', kind: 'machine type' });
  });

  test.each([
    ['has a CPU that no type names, though one would run', ['cpu:skylake_avx512'], 'site/cpu#skylake_avx512'],
    ['has a GPU that its CPU’s types leave out', ['cpu:skylake', 'nvcap:8.0'], 'site/cpu#skylake,nvcap#8.0'],
  ])('builds a selector for a host that %s', (_, features, login) => {
    expect(chooseLogin({ user: 'site', types: TYPES }, host(...features))).toEqual({
      login,
      kind: 'selector',
    });
  });
});
