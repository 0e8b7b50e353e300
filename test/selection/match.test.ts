import { describe, expect, test } from 'vitest';
import { isComparedByEquality } from '../../src/selection/match.ts';
import { selectionCases } from '../support/selection-case.ts';

/** An entry with these features beside a plain one: which of both wins, and what is said of the first. */
function judged(host: string, features: string, wins: 'it' | 'plain', says?: RegExp) {
  return { host, entries: { plain: '', it: features }, wins, ...(says ? { says: { it: says } } : {}) };
}

selectionCases('a demand for a version', {
  'holds at the version': judged('kernel:5.10', 'kernel:5.10', 'it'),
  'holds within a range': judged('kernel:5.10', 'kernel:>=5.10,<6', 'it'),
  'does not hold beyond it': judged('kernel:6.0', 'kernel:>=5.10,<6', 'plain', /this host has 6\.0/),
  'does not hold where the host says none': judged(
    'glibc:2.36',
    'kernel:5.10',
    'plain',
    /this host has no kernel/,
  ),
  'does not hold where the host says no version': judged(
    'kernel:soon',
    'kernel:5.10',
    'plain',
    /this host has soon/,
  ),
  'does not hold when it is not a version': judged(
    'kernel:5.10',
    'kernel:soon',
    'plain',
    /soon is neither a version nor a range/,
  ),
  'holds for one of several versions': judged('kernel:5.4 kernel:5.10 kernel:soon', 'kernel:5.10', 'it'),
  'does not hold for several that are too old': judged(
    'kernel:5.4 kernel:5.5',
    'kernel:5.10',
    'plain',
    /this host has 5\.4 and 5\.5/,
  ),
  'is one of its kind: glibc': judged('kernel:9.9', 'glibc:2.36', 'plain', /this host has no glibc/),
  'is one of its kind: nvdriver': judged('cuda:12.4', 'nvdriver:550', 'plain', /this host has no nvdriver/),
  'is one of its kind: cuda': judged('kernel:99', 'cuda:12.4', 'plain', /this host has no cuda/),
});

selectionCases('a demand for a vendor', {
  'holds by the short name': judged('cpu:skylake', 'cpuvendor:Intel', 'it'),
  'holds by the long name, in any case': judged('cpu:zen4', 'cpuvendor:authenticamd', 'it'),
  'does not hold for another': judged('cpu:zen4', 'cpuvendor:intel', 'plain', /this CPU is by AuthenticAMD/),
  'holds by what the host claims': judged('cpu:zen4 cpuvendor:Hygon', 'cpuvendor:hygon', 'it'),
});

selectionCases('a demand of the operator’s own kind', {
  'holds for one of the values': judged('rack:a rack:b', 'rack:b', 'it'),
  'is one of alternatives': judged('rack:b', 'rack:a rack:b', 'it'),
  'does not hold for another': judged('rack:a rack:b', 'rack:c', 'plain', /this host has rack:a and rack:b/),
  'does not hold where nothing is claimed': judged('site:x', 'rack:b', 'plain', /this host claims no rack/),
  'does not hold for one half of it': judged('rack:ab', 'rack:a', 'plain', /this host has rack:ab/),
});

describe('isComparedByEquality()', () => {
  test.each(['rack', 'smt', 'os', 'constructor', ''])('is true for %j', (kind) => {
    expect(isComparedByEquality(kind)).toBe(true);
  });

  test.each(['cpu', 'level', 'cpuflag', 'nvcap', 'gfx', 'kernel'])('is false for %s', (kind) => {
    expect(isComparedByEquality(kind)).toBe(false);
  });
});

const exact = (host: string, it: string, wins: 'it' | undefined, says?: RegExp) => ({
  ...{ host, entries: { it }, wins, policy: { match: 'exact' as const } },
  ...(says ? { says: { it: says } } : {}),
});

selectionCases('under a policy that matches exactly, an entry', {
  'is for the host with the same features': exact('cpu:zen4 rack:a', 'rack:a cpu:zen4', 'it'),
  'is not for a host that has more': exact(
    'cpu:zen4 rack:a site:x',
    'cpu:zen4',
    undefined,
    /match is exact, and this host also has rack:a, site:x/,
  ),
  'is not for a host that has less': exact(
    'cpu:zen4',
    'cpu:zen4 rack:a',
    undefined,
    /this host claims no rack/,
  ),
  'is not for a host that has other versions, though they would do': exact(
    'cpu:zen4 kernel:6.1 glibc:2.36',
    'cpu:zen4 kernel:5.10 glibc:2.30',
    undefined,
    /match is exact, and this host does not claim kernel:5\.10, glibc:2\.30/,
  ),
  'need not list what detection adds to every host': exact(
    'cpu:zen4 kernel:6.1 glibc:2.36 smt:on os:linux nvdriver:550.1 cuda:12.4 gpu:intel accel:x jetson:jp6 avx2',
    'cpu:zen4',
    'it',
  ),
  'has all values of an incidental kind that it lists': exact(
    'cpu:zen4 glibc:2.36',
    'cpu:zen4 glibc:2.36',
    'it',
  ),
  'may list its features as an annotation': {
    host: 'cpu:zen4 rack:a',
    entries: { it: { annotations: { 'io.metahub.features': 'cpu:zen4,rack:a' } } },
    wins: 'it',
    policy: { match: 'exact' },
  },
  'lists nothing by another project’s annotation': {
    host: 'cpu:zen4 rack:a',
    entries: { it: { features: ['rack:a'], annotations: { 'io.archspec.cpu.target': 'zen4' } } },
    wins: undefined,
    policy: { match: 'exact' },
    says: { it: /match is exact, and this host also has cpu:zen4/ },
  },
  'counts incidental kinds that it lists': exact(
    'cpu:zen4 glibc:2.36',
    'cpu:zen4 glibc:2.35',
    undefined,
    /does not claim glibc:2\.35/,
  ),
});
