import { selectionCases } from '../support/selection-case.ts';

selectionCases('code for a microarchitecture', {
  'runs on that microarchitecture': { host: 'cpu:skylake', entries: { it: 'cpu:skylake' }, wins: 'it' },
  'runs on a descendant': { host: 'cpu:skylake', entries: { it: 'cpu:broadwell' }, wins: 'it' },
  'runs on a remote descendant': { host: 'cpu:sapphirerapids', entries: { it: 'cpu:haswell' }, wins: 'it' },
  'does not run on an ancestor, and the missing flags are named': {
    host: 'cpu:broadwell',
    entries: { it: 'cpu:skylake' },
    wins: undefined,
    says: {
      it: /^demands cpu:skylake \(platform\.features\): this host is broadwell and lacks .*clflushopt/,
    },
  },
  'does not run on another family': {
    host: 'cpu:neoverse_v2',
    entries: { it: { on: 'linux/arm64', features: ['cpu:zen4'] } },
    wins: undefined,
    says: { it: /x86_64 code, this host is neoverse_v2/ },
  },
  'of an unknown name runs nowhere': {
    host: 'cpu:zen4',
    entries: { it: 'cpu:warp9' },
    wins: undefined,
    says: { it: /warp9 is not a known microarchitecture/ },
  },
  'runs on arm64 descendants too': {
    host: 'cpu:neoverse_v2',
    entries: { it: { on: 'linux/arm64', features: ['cpu:neoverse_n1'] } },
    wins: 'it',
  },
  'on POWER follows the generations': {
    host: 'cpu:power10le',
    entries: { it: { on: 'linux/ppc64le', features: ['cpu:power9le'] } },
    wins: 'it',
  },
  'on POWER does not run on an older generation': {
    host: 'cpu:power8le',
    entries: { it: { on: 'linux/ppc64le', features: ['cpu:power9le'] } },
    wins: undefined,
  },
  'on RISC-V runs on its own core': {
    host: 'cpu:u74mc',
    entries: { it: { on: 'linux/riscv64', features: ['cpu:u74mc'] } },
    wins: 'it',
  },
  'given twice means either': { host: 'cpu:zen2', entries: { it: 'cpu:skylake cpu:zen2' }, wins: 'it' },
});

selectionCases('the tree is a graph', {
  'cannonlake code runs on icelake': { host: 'cpu:icelake', entries: { it: 'cpu:cannonlake' }, wins: 'it' },
  'cascadelake code runs on icelake': { host: 'cpu:icelake', entries: { it: 'cpu:cascadelake' }, wins: 'it' },
  'cannonlake code does not run on cascadelake': {
    host: 'cpu:cascadelake',
    entries: { it: 'cpu:cannonlake' },
    wins: undefined,
  },
  'cascadelake code does not run on cannonlake': {
    host: 'cpu:cannonlake',
    entries: { it: 'cpu:cascadelake' },
    wins: undefined,
  },
  'Alder Lake descends from skylake': { host: 'cpu:alderlake', entries: { it: 'cpu:skylake' }, wins: 'it' },
  'Alder Lake is not x86-64-v4': { host: 'cpu:alderlake', entries: { it: 'x86-64-v4' }, wins: undefined },
  'Alder Lake is x86-64-v3': { host: 'cpu:alderlake', entries: { it: 'x86-64-v3' }, wins: 'it' },
  'Alder Lake does not run AVX-512 code': {
    host: 'cpu:alderlake',
    entries: { it: 'cpu:skylake_avx512' },
    wins: undefined,
  },
  'zen3 does not descend from broadwell, however much newer it is': {
    host: 'cpu:zen3',
    entries: { it: 'cpu:broadwell' },
    wins: undefined,
  },
  'zen4 runs zen3, zen2 and zen code': {
    host: 'cpu:zen4',
    entries: { a: 'cpu:zen', b: 'cpu:zen3', c: 'cpu:zen2' },
    wins: 'b',
  },
});

selectionCases('names as authors write them', {
  'znver3 is zen3': { host: 'cpu:zen3', entries: { it: 'cpu:znver3' }, wins: 'it' },
  'skylake-avx512 is skylake_avx512': {
    host: 'cpu:skylake_avx512',
    entries: { it: 'cpu:skylake-avx512' },
    wins: 'it',
  },
  'coffeelake is skylake’s code': { host: 'cpu:skylake', entries: { it: 'cpu:coffeelake' }, wins: 'it' },
  'coffelake, as the seeds spell it, is skylake’s code': {
    host: 'cpu:skylake',
    entries: { it: 'cpu:coffelake' },
    wins: 'it',
  },
  'a Coffee Lake host takes skylake code': {
    host: 'cpu:coffelake',
    entries: { plain: '', it: 'cpu:skylake', other: 'cpu:icelake' },
    wins: 'it',
  },
  'cpu:x86-64-v3 is the level': { host: 'cpu:zen4', entries: { it: 'cpu:x86-64-v3' }, wins: 'it' },
  'cpu:x86_64_v3 is the level': { host: 'cpu:zen4', entries: { it: 'cpu:x86_64_v3' }, wins: 'it' },
  'neoverse-v2 is gcc’s name': {
    host: 'cpu:neoverse_v2',
    entries: { it: { on: 'linux/arm64', features: ['cpu:neoverse-v2'] } },
    wins: 'it',
  },
  'an equals sign will do for the colon': {
    host: 'cpu:skylake',
    entries: { it: 'cpu=skylake' },
    wins: 'it',
  },
});

selectionCases('levels', {
  'x86-64-v3 runs on v4': { host: 'cpu:skylake_avx512', entries: { it: 'x86-64-v3' }, wins: 'it' },
  'x86-64-v4 does not run on v3': {
    host: 'cpu:haswell',
    entries: { it: 'x86-64-v4' },
    wins: undefined,
    says: { it: /demands x86-64-v4 .*this host is x86-64-v3/ },
  },
  'x86_64_v3, archspec’s spelling, is the same level': {
    host: 'cpu:haswell',
    entries: { it: 'x86_64_v3' },
    wins: 'it',
  },
  'variant v2 runs on v3': { host: 'cpu:haswell', entries: { it: { variant: 'v2' } }, wins: 'it' },
  'variant v4 does not run on v3': {
    host: 'cpu:haswell',
    entries: { it: { variant: 'v4' } },
    wins: undefined,
    says: { it: /platform\.variant/ },
  },
  'the greatest variant that runs wins': {
    host: 'cpu:haswell',
    entries: { plain: '', v2: { variant: 'v2' }, v3: { variant: 'v3' }, v4: { variant: 'v4' } },
    wins: 'v3',
  },
  'variant v1 runs everywhere and still is said': {
    host: 'cpu:x86_64',
    entries: { it: { variant: 'v1' } },
    wins: 'it',
  },
  'a variant that amd64 does not have runs nowhere': {
    host: 'cpu:zen5',
    entries: { it: { variant: 'v5' } },
    wins: undefined,
    says: { it: /is not a level that exists/ },
  },
  'arm64 variant v8 demands nothing': {
    host: 'cpu:aarch64',
    entries: { it: { on: 'linux/arm64', variant: 'v8' } },
    wins: 'it',
  },
  'arm64 v8.2 runs on Neoverse N1': {
    host: 'cpu:neoverse_n1',
    entries: { plain: { on: 'linux/arm64' }, it: { on: 'linux/arm64', variant: 'v8.2' } },
    wins: 'it',
  },
  'arm64 v8.4 does not run on Neoverse N1': {
    host: 'cpu:neoverse_n1',
    entries: { plain: { on: 'linux/arm64' }, it: { on: 'linux/arm64', variant: 'v8.4' } },
    wins: 'plain',
  },
  'arm64-v9.0 holds all of arm64-v8.5': {
    host: 'arm64-v9.0',
    entries: { it: { on: 'linux/arm64', variant: 'v8.5' } },
    wins: 'it',
  },
  'arm64 v9 is v9.0': {
    host: 'cpu:neoverse_v2',
    entries: { it: { on: 'linux/arm64', variant: 'v9' } },
    wins: 'it',
  },
  'ppc64le variant power9 runs on POWER10': {
    host: 'cpu:power10le',
    entries: { it: { on: 'linux/ppc64le', variant: 'power9' } },
    wins: 'it',
  },
  'ppc64le variant power10 does not run on POWER9': {
    host: 'cpu:power9le',
    entries: { it: { on: 'linux/ppc64le', variant: 'power10' } },
    wins: undefined,
  },
  'riscv64 variant rva20u64 is every Linux host': {
    host: 'cpu:riscv64',
    entries: { it: { on: 'linux/riscv64', variant: 'rva20u64' } },
    wins: 'it',
  },
  'riscv64 variant rva22u64 has to be there': {
    host: 'cpu:riscv64',
    entries: { plain: { on: 'linux/riscv64' }, it: { on: 'linux/riscv64', variant: 'rva22u64' } },
    wins: 'plain',
  },
  'a level for another architecture is not there': {
    host: 'cpu:zen4',
    entries: { it: 'arm64-v8.0' },
    wins: undefined,
    says: { it: /this host is amd64/ },
  },
});

selectionCases('flags', {
  'a bare flag is there': { host: 'cpu:haswell', entries: { it: 'avx2' }, wins: 'it' },
  'cpuflag:avx2 is the same': { host: 'cpu:haswell', entries: { it: 'cpuflag:avx2' }, wins: 'it' },
  'a flag is missing': {
    host: 'cpu:sandybridge',
    entries: { it: 'avx2' },
    wins: undefined,
    says: { it: /demands avx2 .*this CPU lacks it/ },
  },
  'all of several flags are needed': {
    host: 'cpu:haswell',
    entries: { it: 'avx2 avx512f' },
    wins: undefined,
    says: { it: /demands avx512f/ },
  },
  'a flag the host was given counts': { host: 'cpu:haswell adx', entries: { it: 'adx' }, wins: 'it' },
  'the CPU’s vendor': { host: 'cpu:zen2', entries: { it: 'cpuvendor:AuthenticAMD' }, wins: 'it' },
  'the CPU’s vendor by its everyday name': { host: 'cpu:zen2', entries: { it: 'cpuvendor:amd' }, wins: 'it' },
  'another vendor': { host: 'cpu:zen2', entries: { it: 'cpuvendor:intel' }, wins: undefined },
});

const FOREIGN = { allowForeignVendor: true };

selectionCases('code for another vendor’s CPU', {
  'is not eligible by itself, and the reason says what would make it so': {
    host: 'cpu:zen3 adx rdrand',
    entries: { it: 'cpu:haswell' },
    wins: undefined,
    says: { it: /another vendor|lacks/ },
  },
  'is eligible by its flags when allowed': {
    host: 'cpu:zen3 adx rdrand',
    entries: { plain: '', it: 'cpu:haswell' },
    policy: FOREIGN,
    wins: 'it',
  },
  'is not eligible while a flag is missing, allowed or not': {
    host: 'cpu:zen3',
    entries: { plain: '', it: 'cpu:skylake_avx512' },
    policy: FOREIGN,
    wins: 'plain',
  },
  'ranks below the levels': {
    host: 'cpu:zen3 adx rdrand',
    entries: { it: 'cpu:haswell', v2: 'x86-64-v2' },
    policy: FOREIGN,
    wins: 'v2',
  },
  'ranks above an entry without demands': {
    host: 'cpu:zen3 adx rdrand',
    entries: { plain: '', it: 'cpu:haswell' },
    policy: FOREIGN,
    wins: 'it',
  },
});
