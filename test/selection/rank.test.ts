import { digestNamed } from '../support/index-fixture.ts';
import { selectionCases } from '../support/selection-case.ts';

selectionCases('the closest CPU code', {
  'a descendant before its ancestor': {
    host: 'cpu:icelake',
    entries: { far: 'cpu:haswell', it: 'cpu:skylake', plain: '' },
    wins: 'it',
    says: { it: /before entry 1 because its CPU code is closer/, far: /runs here, but entry 2 goes first/ },
  },
  'a microarchitecture before the level it implies': {
    host: 'cpu:skylake',
    entries: { level: 'x86-64-v3', it: 'cpu:broadwell' },
    wins: 'it',
  },
  'incomparable: more ancestors first, also before a level': {
    host: 'cpu:skylake',
    entries: { level: 'x86-64-v3', it: 'cpu:sandybridge' },
    wins: 'it',
  },
  'incomparable: more ancestors first': {
    host: 'cpu:icelake',
    entries: { cannon: 'cpu:cannonlake', cascade: 'cpu:cascadelake' },
    wins: 'cascade',
  },
  'the better of several values counts': {
    host: 'cpu:zen4',
    entries: { one: 'cpu:zen2', it: 'cpu:zen cpu:zen3' },
    wins: 'it',
  },
  'of several values those that do not run here do not count': {
    host: 'cpu:zen2',
    entries: { it: 'cpu:zen2', fat: 'cpu:zen cpu:zen5' },
    wins: 'it',
  },
  'a flag counts as the level that brings it': {
    host: 'cpu:skylake_avx512',
    entries: { v3: 'x86-64-v3', it: 'avx512f' },
    wins: 'it',
  },
  'a level before one of its flags': {
    host: 'cpu:haswell',
    entries: { flag: 'avx2', it: 'x86-64-v3' },
    wins: 'it',
  },
});

selectionCases('priorities', {
  'accelerator before CPU': {
    host: 'cpu:zen4 nvcap:9.0',
    entries: { cpu: 'cpu:zen4', it: 'nvcap:8.0 nvcap:9.0' },
    wins: 'it',
    says: { it: /it is made for such hardware/ },
  },
  'CPU before fabric': {
    host: 'cpu:zen4 fabric:ib',
    entries: { fabric: 'fabric:ib', it: 'x86-64-v2' },
    wins: 'it',
  },
  'fabric before system': {
    host: 'fabric:ib glibc:2.36',
    entries: { system: 'glibc:2.36', it: 'fabric:ib' },
    wins: 'it',
  },
  'with the same GPU code the CPU decides': {
    host: 'cpu:zen4 nvcap:9.0',
    entries: { v3: 'nvcap:9.0 x86-64-v3', it: 'nvcap:9.0 cpu:zen4' },
    wins: 'it',
  },
  'the closer GPU code decides before the CPU': {
    host: 'cpu:zen4 nvcap:9.0',
    entries: { ptx: 'nvptx:8.0 cpu:zen4', it: 'nvcap:9.0 x86-64-v2' },
    wins: 'it',
  },
  'newer CUDA first': {
    host: 'nvcap:9.0 cuda:12.8',
    entries: { old: 'nvcap:9.0 cuda:11.8', it: 'nvcap:9.0 cuda:12.4' },
    wins: 'it',
    says: { it: /newer version/ },
  },
  'an operator puts the fabric first': {
    host: 'cpu:zen4 fabric:ib',
    entries: { cpu: 'cpu:zen4', it: 'fabric:ib' },
    policy: { priority: ['fabric'] },
    wins: 'it',
  },
  'an operator puts a kind before the others of its group': {
    host: 'glibc:2.36 kernel:6.1 os:linux',
    entries: { several: 'kernel:6.1 os:linux', it: 'glibc:2.36' },
    policy: { priority: ['glibc'] },
    wins: 'it',
    says: { it: /it is made for such hardware/ },
  },
  'a kind that nobody knows is the site’s own': {
    host: 'rack:b kernel:6.1',
    entries: { system: 'kernel:6.1', it: 'rack:b' },
    wins: 'it',
  },
  'what an operator puts first leaves the usual order of the rest': {
    host: 'cpu:zen4 nvcap:9.0 fabric:ib kernel:6.1',
    entries: { cpu: 'cpu:zen4', it: 'nvcap:9.0', kernel: 'kernel:6.1' },
    policy: { priority: ['fabric'] },
    wins: 'it',
  },
  'an AMD target is GPU code': {
    host: 'gfx:gfx90a cpu:zen4',
    entries: { any: 'gpu:rocm', it: 'gfx:gfx90a' },
    wins: 'it',
    says: { it: /its GPU code is closer/ },
  },
  'an accelerator’s own model is closer than its family': {
    host: 'accel:habana-gaudi2',
    entries: { any: 'accel:habana', it: 'accel:habana-gaudi2' },
    wins: 'it',
    says: { it: /its GPU code is closer/ },
  },
  'a GPU of any model counts as GPU code, and CUDA alone does not': {
    host: 'nvcap:9.0 gpu:nvidia cuda:12.8',
    entries: { cuda: 'cuda:12.4', it: 'gpu:nvidia' },
    wins: 'it',
    says: { it: /its GPU code is closer/ },
  },
  'a system of a maker counts as GPU code': {
    host: 'jetson:jp6 cuda:12.6',
    entries: { cuda: 'cuda:12.4', it: 'jetson:jp6' },
    wins: 'it',
    says: { it: /its GPU code is closer/ },
  },
  'the closest of several demands for a GPU counts': {
    host: 'nvcap:9.0 gpu:nvidia',
    entries: { any: 'gpu:nvidia', it: 'gpu:nvidia nvcap:9.0', other: 'nvcap:9.0 gpu:nvidia' },
    wins: 'it',
    says: { it: /it comes first in the index/, any: /its GPU code is closer/ },
  },
  'a group with more demands goes first, when nothing else decides': {
    host: 'cpu:zen4 rack:b row:4',
    entries: { cpu: 'cpu:zen4 rack:b', it: 'cpu:zen4 rack:b row:4' },
    wins: 'it',
    says: { it: /it demands more/ },
  },
  'an operator puts a whole group first': {
    host: 'cpu:zen4 nvcap:9.0',
    entries: { gpu: 'nvcap:9.0', it: 'cpu:zen4' },
    policy: { priority: ['cpu', 'accelerator'] },
    wins: 'it',
  },
});

selectionCases('the last rules', {
  'a strict superset of demands wins': {
    host: 'rack:b12 row:4',
    entries: { one: 'rack:b12', it: 'rack:b12 row:4' },
    wins: 'it',
    says: { it: /it demands more/ },
  },
  'an entry without demands comes last': {
    host: 'cpu:zen4',
    entries: { plain: '', it: 'cpu:x86_64' },
    wins: 'it',
  },
  'an entry without demands is better than none': {
    host: 'cpu:haswell',
    entries: { no: 'cpu:zen4', plain: '' },
    wins: 'plain',
  },
  'of equals the first in the index': {
    host: 'cpu:zen4',
    entries: { it: 'cpu:zen3', other: 'cpu:zen3' },
    wins: 'it',
    says: { it: /it comes first in the index/ },
  },
  'the same demand in features and annotations counts once': {
    host: 'cpu:zen4',
    entries: {
      it: 'cpu:zen3',
      twice: { features: 'cpu:zen3', annotations: { 'io.metahub.features': 'cpu:zen3' } },
    },
    wins: 'it',
  },
  'a duplicate is called what it is': {
    host: 'cpu:zen4',
    entries: { it: 'cpu:zen3', again: { sameAs: 'it', features: 'cpu:zen3' } },
    wins: 'it',
    says: { again: /the same image as entry 1/ },
  },
});

selectionCases('a pin', {
  'by feature wins over what is closer': {
    host: 'cpu:zen4',
    entries: { close: 'cpu:zen4', it: 'x86-64-v3' },
    policy: { pin: 'x86-64-v3' },
    wins: 'it',
    says: { it: /the operator pinned it/ },
  },
  'by digest wins over what is closer': {
    host: 'cpu:zen4',
    entries: { close: 'cpu:zen4', it: '' },
    policy: { pin: digestNamed('it') },
    wins: 'it',
  },
  'does not make an entry eligible': {
    host: 'cpu:zen4',
    entries: { plain: '', it: 'cpu:zen5' },
    policy: { pin: 'cpu:zen5' },
    wins: 'plain',
  },
  'by feature wins where it is one of alternatives and one of several demands': {
    host: 'cpu:zen4 rack:b',
    entries: { close: 'cpu:zen4', it: 'rack:b cpu:zen2 cpu:zen3' },
    policy: { pin: 'cpu:zen2' },
    wins: 'it',
    says: { it: /the operator pinned it/ },
  },
  'by another name of a microarchitecture is the same': {
    host: 'cpu:zen4',
    entries: { close: 'cpu:zen4', it: 'cpu:znver3' },
    policy: { pin: 'cpu:zen3' },
    wins: 'it',
    says: { it: /the operator pinned it/ },
  },
  'of a kind of the site’s own is its value': {
    host: 'rack:a rack:b',
    entries: { other: 'rack:a', it: 'rack:b' },
    policy: { pin: 'rack:b' },
    wins: 'it',
  },
  'is of its kind': {
    host: 'cpu:zen4 rack:zen3',
    entries: { it: 'cpu:zen4', other: 'rack:zen3' },
    policy: { pin: 'cpu:zen3', priority: ['cpu'] },
    wins: 'it',
  },
  'wins before what stands before it and after it': {
    host: 'cpu:zen4',
    entries: { close: 'cpu:zen4', it: 'x86-64-v3', closer: 'cpu:zen4 avx2' },
    policy: { pin: 'x86-64-v3' },
    wins: 'it',
  },
  'that no entry answers to changes nothing': {
    host: 'cpu:zen4',
    entries: { plain: '', it: 'cpu:zen3' },
    policy: { pin: 'cpu:broadwell' },
    wins: 'it',
  },
});

selectionCases('a baseline', {
  'plain is v3 in some repositories: it does not run below': {
    host: 'cpu:nehalem',
    entries: { plain: '', v2: { variant: 'v2' } },
    policy: { baseline: ['x86-64-v3'] },
    wins: 'v2',
    says: { plain: /demands x86-64-v3 \(the baseline of this repository\)/ },
  },
  'plain is v3 in some repositories: it goes before v2': {
    host: 'cpu:haswell',
    entries: { v2: { variant: 'v2' }, plain: '' },
    policy: { baseline: ['x86-64-v3'] },
    wins: 'plain',
  },
  'does not touch an entry that names its CPU': {
    host: 'cpu:nehalem',
    entries: { it: 'cpu:nehalem' },
    policy: { baseline: ['x86-64-v3'] },
    wins: 'it',
  },
  'may be a flag: plain does not run without it': {
    host: 'cpu:nehalem',
    entries: { plain: '' },
    policy: { baseline: ['avx', 'arm64-v8.2'] },
    wins: undefined,
    says: { plain: /demands avx \(the baseline of this repository\)/ },
  },
  'of several features counts those of the architecture': {
    host: 'cpu:neoverse_n1',
    entries: { it: { on: 'linux/arm64' } },
    policy: { baseline: ['avx', 'arm64-v8.2'] },
    wins: 'it',
    says: { it: /^demands arm64-v8\.2, which this host has/ },
  },
  'of amd64 means nothing on arm64': {
    host: 'cpu:neoverse_n1',
    entries: { it: { on: 'linux/arm64' } },
    policy: { baseline: ['x86-64-v3'] },
    wins: 'it',
  },
});

const EXACT = { match: 'exact' } as const;

selectionCases('match exact, the rule of 2019', {
  'equal sets': {
    host: 'cpu:broadwell nvcap:5.2',
    entries: { cpu: 'cpu:broadwell', it: 'nvcap:5.2 cpu:broadwell' },
    policy: EXACT,
    wins: 'it',
  },
  'an ancestor will not do': {
    host: 'cpu:skylake',
    entries: { no: 'cpu:broadwell' },
    policy: EXACT,
    wins: undefined,
    says: { no: /match is exact, and this host does not claim cpu:broadwell/ },
  },
  'a subset will not do': {
    host: 'cpu:broadwell nvcap:5.2',
    entries: { no: 'cpu:broadwell' },
    policy: EXACT,
    wins: undefined,
    says: { no: /also has nvcap:5\.2/ },
  },
  'another spelling will not do': {
    host: 'cpu:coffelake',
    entries: { no: 'cpu:skylake' },
    policy: EXACT,
    wins: undefined,
  },
  'a host without features gets the entry without features': {
    host: '',
    entries: { cpu: 'cpu:broadwell', it: '' },
    policy: EXACT,
    wins: 'it',
  },
  'the entry without features is for no other host': {
    host: 'cpu:coffelake',
    entries: { cpu: 'cpu:broadwell', no: '' },
    policy: EXACT,
    wins: undefined,
  },
  'what detection adds by itself does not count': {
    host: 'cpu:broadwell kernel:6.1 os:linux smt:on',
    entries: { it: 'cpu:broadwell' },
    policy: EXACT,
    wins: 'it',
  },
  'it counts where the entry speaks of it': {
    host: 'cpu:broadwell smt:on',
    entries: { it: 'cpu:broadwell smt:on', no: 'cpu:broadwell smt:off' },
    policy: EXACT,
    wins: 'it',
  },
});
