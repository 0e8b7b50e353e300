import type { HostProfile } from '../../src/host/profile.ts';
import { environmentDemands } from '../../src/selection/matchers/nvidia.ts';
import { hostOf } from '../support/host-of.ts';
import { digestNamed } from '../support/index-fixture.ts';
import { selectionCases } from '../support/selection-case.ts';

function annotated(name: string, value: string) {
  return { annotations: { [name]: value } };
}

selectionCases(
  'an annotation as large as an index may be',
  {
    'is read, and its first demand that does not hold is named': {
      host: 'cpu:zen4',
      entries: {
        plain: '',
        it: annotated(
          'io.metahub.features',
          Array.from({ length: 200_000 }, (_, at) => `site${at}:on`).join(),
        ),
      },
      wins: 'plain',
      says: { it: /demands site0:on/ },
    },
  },
  { tags: 'slow' },
);

selectionCases('annotations of entries', {
  'io.archspec.cpu.target names a microarchitecture': {
    host: 'cpu:zen3',
    entries: { plain: '', it: annotated('io.archspec.cpu.target', 'zen2') },
    wins: 'it',
  },
  'the annotation is named as the source of the failing demand': {
    host: 'cpu:zen',
    entries: { it: annotated('io.archspec.cpu.target', 'zen2') },
    wins: undefined,
    says: { it: /^demands cpu:zen2 \(annotations\.io\.archspec\.cpu\.target\)/ },
  },
  'io.archspec.cpu.target amd64 is every amd64 host': {
    host: 'cpu:x86_64',
    entries: { it: annotated('io.archspec.cpu.target', 'amd64') },
    wins: 'it',
  },
  'org.supercontainers names a microarchitecture': {
    host: 'cpu:skylake_avx512',
    entries: {
      it: annotated('org.supercontainers.hardware.cpu.target.microarch', 'skylake_avx512'),
      no: annotated('org.supercontainers.hardware.cpu.target.microarch', 'zen4'),
    },
    wins: 'it',
  },
  'org.supercontainers.gpu cuda needs an NVIDIA GPU': {
    host: 'cpu:zen4',
    entries: { plain: '', it: annotated('org.supercontainers.gpu', 'cuda') },
    wins: 'plain',
    says: { it: /demands gpu:cuda/ },
  },
  'org.supercontainers.gpu cuda takes any NVIDIA GPU': {
    host: 'nvcap:7.5',
    entries: { plain: '', it: annotated('org.supercontainers.gpu', 'cuda') },
    wins: 'it',
  },
  'org.supercontainers.gpu rocm needs an AMD GPU': {
    host: 'gfx:gfx90a',
    entries: {
      cuda: annotated('org.supercontainers.gpu', 'cuda'),
      it: annotated('org.supercontainers.gpu', 'rocm'),
    },
    wins: 'it',
  },
  'org.supercontainers.mpi is compared with what the operator claims': {
    host: 'mpi:openmpi',
    entries: {
      mpich: annotated('org.supercontainers.mpi', 'mpich'),
      it: annotated('org.supercontainers.mpi', 'openmpi'),
    },
    wins: 'it',
  },
  'org.supercontainers.mpi unknown demands nothing': {
    host: '',
    entries: { it: annotated('org.supercontainers.mpi', 'unknown') },
    wins: 'it',
  },
  'org.supercontainers.glibc is a least version': {
    host: 'glibc:2.31',
    entries: {
      it: annotated('org.supercontainers.glibc', '2.28'),
      no: annotated('org.supercontainers.glibc', '2.36'),
    },
    wins: 'it',
  },
  'Homebrew’s cpu.variant names a microarchitecture': {
    host: 'cpu:haswell',
    entries: { it: annotated('sh.brew.bottle.cpu.variant', 'core2') },
    wins: 'it',
  },
  'Homebrew’s armv8 is every arm64 host': {
    host: 'cpu:aarch64',
    entries: { it: { on: 'linux/arm64', ...annotated('sh.brew.bottle.cpu.variant', 'armv8') } },
    wins: 'it',
  },
  'Homebrew’s glibc.version is a least version': {
    host: 'cpu:haswell glibc:2.17',
    entries: { it: annotated('sh.brew.bottle.glibc.version', '2.23') },
    wins: undefined,
    says: { it: /this host has 2\.17/ },
  },
  'io.metahub.features is a list like platform.features': {
    host: 'cpu:skylake nvcap:5.2',
    entries: { plain: '', it: annotated('io.metahub.features', 'cpu:broadwell,nvcap:5.2') },
    wins: 'it',
  },
  'io.metahub.features may hold ranges, whose comma ends no feature': {
    host: 'cpu:skylake kernel:5.15',
    entries: { it: annotated('io.metahub.features', 'cpu:broadwell kernel:>=5.10,<6') },
    wins: 'it',
  },
  'io.metahub.features fails closed on a kind nobody claims': {
    host: 'cpu:skylake',
    entries: { it: annotated('io.metahub.features', 'quantum:yes') },
    wins: undefined,
  },
  'an unknown annotation is ignored': {
    host: 'cpu:skylake',
    entries: { it: annotated('org.opencontainers.image.title', 'cpu:zen5') },
    wins: 'it',
  },
  'an annotation named as an Object’s own member is ignored': {
    host: 'cpu:skylake',
    entries: { it: annotated('constructor', 'cpu:zen5') },
    wins: 'it',
  },
  'features and annotations must all hold': {
    host: 'cpu:skylake',
    entries: { it: { features: 'cpu:skylake', ...annotated('io.archspec.cpu.target', 'zen2') } },
    wins: undefined,
  },
});

selectionCases('platform.features', {
  'a kind that nobody claims fails closed': {
    host: 'cpu:zen4',
    entries: { plain: '', it: 'quantum:yes' },
    wins: 'plain',
    says: { it: /demands quantum:yes .*claims no quantum/ },
  },
  'a kind of the operator’s own is compared': {
    host: 'rack:b12',
    entries: { plain: '', it: 'rack:b12', other: 'rack:b13' },
    wins: 'it',
    says: { other: /this host has rack:b12/ },
  },
  'text that is no feature fails closed': {
    host: 'cpu:zen4',
    entries: { plain: '', it: { features: ['¡hola!'] } },
    wins: 'plain',
    says: { it: /is not a feature that can be read/ },
  },
  'an empty string fails closed': {
    host: 'cpu:zen4',
    entries: { plain: '', it: { features: [''] } },
    wins: 'plain',
  },
  'numbers in the list fail closed': {
    host: 'cpu:zen4',
    entries: { plain: '', it: { features: [42] } },
    wins: 'plain',
  },
  'an object in place of the list fails closed': {
    host: 'cpu:zen4',
    entries: { plain: '', it: { features: { cpu: 'zen4' } } },
    wins: 'plain',
  },
  'null is no demand': { host: 'cpu:zen4', entries: { it: { features: null } }, wins: 'it' },
  'an empty list is no demand': { host: 'cpu:zen4', entries: { it: { features: [] } }, wins: 'it' },
  'a kind named as an Object’s own member fails closed': {
    host: 'cpu:zen4',
    entries: { plain: '', it: 'constructor:yes' },
    wins: 'plain',
  },
  'in an entry for another platform is not judged': {
    host: 'cpu:zen4',
    entries: { it: '', arm: { on: 'linux/arm64', features: 'cpu:nonsense' } },
    wins: 'it',
    says: { arm: /for linux\/arm64; kept/ },
  },
});

const WINDOWS: HostProfile = { ...hostOf('cpu:zen4'), platform: { os: 'windows', architecture: 'amd64' } };
const WIN32K = { on: 'windows/amd64', osFeatures: ['win32k'] };

selectionCases('os.features', {
  'on Windows must be claimed by the host': {
    host: WINDOWS,
    entries: { it: WIN32K },
    wins: undefined,
    says: { it: /platform\.os\.features/ },
  },
  'on Windows hold when the host claims them': {
    host: { ...WINDOWS, features: ['osfeature:win32k'] },
    entries: { it: WIN32K },
    wins: 'it',
  },
  'on Linux demand nothing': {
    host: 'cpu:zen4',
    entries: { it: { osFeatures: ['nydus.remoteimage.v1'] } },
    wins: 'it',
  },
  'on Linux make an entry second to its equal without them, which every runtime can unpack': {
    host: 'cpu:zen4',
    entries: { nydus: { features: 'cpu:zen4', osFeatures: ['nydus.remoteimage.v1'] }, it: 'cpu:zen4' },
    wins: 'it',
    says: { it: /every runtime can unpack it/ },
  },
  'on Linux do not make a closer entry second': {
    host: 'cpu:zen4',
    entries: { plain: '', it: { features: 'cpu:zen4', osFeatures: ['nydus.remoteimage.v1'] } },
    wins: 'it',
  },
});

selectionCases('versions', {
  'a driver at least': { host: 'nvdriver:535.104.05', entries: { it: 'nvdriver:535' }, wins: 'it' },
  'a driver that is too old': {
    host: 'nvdriver:470.82.01',
    entries: { it: 'nvdriver:535' },
    wins: undefined,
    says: { it: /this host has 470\.82\.01/ },
  },
  'driver: is nvdriver:': { host: 'nvdriver:535.104.05', entries: { it: 'driver:>=525' }, wins: 'it' },
  'no driver at all': { host: 'cpu:zen4', entries: { it: 'nvdriver:535' }, wins: undefined },
  'the CUDA that a driver brings': { host: 'nvdriver:550.54', entries: { it: 'cuda:12.4' }, wins: 'it' },
  'a CUDA that is too new': { host: 'cuda:12.2', entries: { it: 'cuda:12.4' }, wins: undefined },
  'versions are numbers and not text': { host: 'kernel:6.10', entries: { it: 'kernel:6.9' }, wins: 'it' },
  'a kernel range holds': { host: 'kernel:5.15', entries: { it: 'kernel:>=5.10,<6' }, wins: 'it' },
  'a kernel range ends': { host: 'kernel:6.1', entries: { it: 'kernel:>=5.10,<6' }, wins: undefined },
  'a comparison may stand in the colon’s place': {
    host: 'kernel:6.1',
    entries: { it: 'kernel>=5.10' },
    wins: 'it',
  },
  'a version that is none fails closed': {
    host: 'kernel:6.1',
    entries: { it: 'kernel:new' },
    wins: undefined,
  },
  '12 is 12.0': { host: 'cuda:12.0', entries: { it: 'cuda:=12' }, wins: 'it' },
  'a glibc at least': { host: 'glibc:2.36', entries: { it: 'glibc:2.28' }, wins: 'it' },
});

selectionCases('fabric, site and system', {
  'an InfiniBand build on an InfiniBand host': {
    host: 'fabric:ib',
    entries: { plain: '', it: 'fabric:ib', efa: 'fabric:efa' },
    wins: 'it',
  },
  'an instance type, in the names of 2019': {
    host: 'instType:c5 instSize:9xl instHT:on',
    entries: { plain: '', it: 'instType:c5 instHT:on', other: 'instType:c5 instHT:off' },
    wins: 'it',
  },
  'smt off is what it says': { host: 'smt:on', entries: { plain: '', it: 'smt:off' }, wins: 'plain' },
});

function configured(...environment: readonly string[]) {
  return new Map([[digestNamed('gpu'), environmentDemands(environment)]]);
}
const PLAIN_AND_GPU = { plain: '', gpu: '' };
const CUDA_124 =
  'NVIDIA_REQUIRE_CUDA=cuda>=12.4 brand=tesla,driver>=470,driver<471 brand=tesla,driver>=525,driver<526';

selectionCases('NVIDIA_REQUIRE of an image’s configuration', {
  'without it a GPU image looks generic on a CPU host': {
    host: 'cpu:zen4',
    entries: { gpu: '' },
    wins: 'gpu',
  },
  'with it a CPU host is not eligible': {
    host: 'cpu:zen4',
    entries: { gpu: '' },
    extra: configured(CUDA_124),
    wins: undefined,
    says: { gpu: /config env NVIDIA_REQUIRE_CUDA\): this host has no NVIDIA driver/ },
  },
  'the first alternative holds': {
    host: 'nvcap:9.0 nvdriver:550.54',
    entries: PLAIN_AND_GPU,
    extra: configured(CUDA_124),
    wins: 'gpu',
  },
  'a later alternative holds': {
    host: 'nvcap:8.0 nvdriver:470.82.01',
    entries: PLAIN_AND_GPU,
    extra: configured(CUDA_124),
    wins: 'gpu',
  },
  'between the alternatives nothing holds': {
    host: 'nvcap:8.0 nvdriver:510.47',
    entries: PLAIN_AND_GPU,
    extra: configured(CUDA_124),
    wins: 'plain',
    says: { gpu: /this host has CUDA 11\.6, driver 510\.47/ },
  },
  'a property that is not known is met': {
    host: 'nvcap:8.0 nvdriver:550.54',
    entries: PLAIN_AND_GPU,
    extra: configured('NVIDIA_REQUIRE_X=colour=green,driver>=470'),
    wins: 'gpu',
  },
  'a constraint that cannot be read is not met': {
    host: 'nvcap:8.0 nvdriver:550.54',
    entries: PLAIN_AND_GPU,
    extra: configured('NVIDIA_REQUIRE_X=driver'),
    wins: 'plain',
  },
  'arch is the compute capability': {
    host: 'nvcap:6.1 nvdriver:550.54',
    entries: PLAIN_AND_GPU,
    extra: configured('NVIDIA_REQUIRE_ARCH=arch>=7.0'),
    wins: 'plain',
  },
  'several variables must all be met': {
    host: 'nvcap:9.0 nvdriver:550.54',
    entries: PLAIN_AND_GPU,
    extra: configured('NVIDIA_REQUIRE_CUDA=cuda>=12.0', 'NVIDIA_REQUIRE_DRIVER=driver>=570'),
    wins: 'plain',
  },
  'NVIDIA_DISABLE_REQUIRE switches them off': {
    host: 'cpu:zen4',
    entries: { gpu: '' },
    extra: configured(CUDA_124, 'NVIDIA_DISABLE_REQUIRE=1'),
    wins: 'gpu',
  },
  'an empty variable demands nothing': {
    host: 'cpu:zen4',
    entries: { gpu: '' },
    extra: configured('NVIDIA_REQUIRE_CUDA=', 'PATH=/usr/bin'),
    wins: 'gpu',
  },
});
