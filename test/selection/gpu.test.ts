import { selectionCases } from '../support/selection-case.ts';

selectionCases('NVIDIA machine code', {
  'runs on the very capability': { host: 'nvcap:9.0', entries: { it: 'nvcap:9.0' }, wins: 'it' },
  'runs on a greater minor of the same major': {
    host: 'nvcap:8.9',
    entries: { it: 'nvcap:8.0' },
    wins: 'it',
  },
  'does not run on a lesser minor': {
    host: 'nvcap:8.0',
    entries: { it: 'nvcap:8.6' },
    wins: undefined,
    says: { it: /demands nvcap:8\.6 .*this host's GPU is 8\.0/ },
  },
  'does not run on the next major': { host: 'nvcap:9.0', entries: { it: 'nvcap:8.9' }, wins: undefined },
  'does not run without a GPU': {
    host: 'cpu:zen4',
    entries: { it: 'nvcap:8.9' },
    wins: undefined,
    says: { it: /no NVIDIA GPU/ },
  },
  'of two digits in the major is compared as numbers': {
    host: 'nvcap:10.3',
    entries: { it: 'nvcap:10.0' },
    wins: 'it',
  },
  'with suffix a runs on exactly that part': { host: 'nvcap:9.0', entries: { it: 'nvcap:9.0a' }, wins: 'it' },
  'with suffix a runs on no other minor': {
    host: 'nvcap:10.3',
    entries: { it: 'nvcap:10.0a' },
    wins: undefined,
  },
  'with suffix f runs on its family': { host: 'nvcap:10.3', entries: { it: 'nvcap:10.0f' }, wins: 'it' },
  'with suffix f does not run on another major': {
    host: 'nvcap:12.0',
    entries: { it: 'nvcap:10.0f' },
    wins: undefined,
  },
  'of several values needs one': { host: 'nvcap:8.6', entries: { it: 'nvcap:7.5 nvcap:8.0' }, wins: 'it' },
  'of several values, none of which fits, does not run': {
    host: 'nvcap:9.0',
    entries: { it: 'nvcap:7.5 nvcap:8.0' },
    wins: undefined,
    says: { it: /nvcap:7\.5 or nvcap:8\.0/ },
  },
  'may be written sm_90': { host: 'nvcap:9.0', entries: { it: 'nvcap:sm_90' }, wins: 'it' },
  'may be written 90': { host: 'nvcap:9.0', entries: { it: 'nvcap:90' }, wins: 'it' },
  'that cannot be read runs nowhere': { host: 'nvcap:9.0', entries: { it: 'nvcap:hopper' }, wins: undefined },
});

selectionCases('Jetson and discrete parts', {
  'Orin code runs on Orin': { host: 'nvcap:8.7', entries: { it: 'nvcap:8.7' }, wins: 'it' },
  'discrete code does not run on Orin': { host: 'nvcap:8.7', entries: { it: 'nvcap:8.6' }, wins: undefined },
  'Orin code does not run on a discrete part': {
    host: 'nvcap:8.9',
    entries: { it: 'nvcap:8.7' },
    wins: undefined,
  },
  'PTX runs on both': { host: 'nvcap:8.7', entries: { it: 'nvptx:8.0' }, wins: 'it' },
});

selectionCases('PTX', {
  'runs on everything newer': { host: 'nvcap:12.0', entries: { it: 'nvptx:8.0' }, wins: 'it' },
  'does not run on anything older': { host: 'nvcap:7.5', entries: { it: 'nvptx:8.0' }, wins: undefined },
  'is never taken for granted': { host: 'nvcap:12.0', entries: { it: 'nvcap:8.0' }, wins: undefined },
  'beside machine code is an alternative to it': {
    host: 'nvcap:12.0',
    entries: { it: 'nvcap:8.0 nvcap:9.0 nvptx:9.0' },
    wins: 'it',
  },
  'may be written +PTX, as PyTorch does': {
    host: 'nvcap:12.0',
    entries: { it: 'nvcap:9.0+PTX' },
    wins: 'it',
  },
  'with suffix a is not portable': { host: 'nvcap:12.0', entries: { it: 'nvptx:9.0a' }, wins: undefined },
});

selectionCases('an author’s own rule', {
  'a range reaches up to its end': { host: 'nvcap:8.9', entries: { it: 'nvcap:8.0-8.9' }, wins: 'it' },
  'a range ends there': { host: 'nvcap:9.0', entries: { it: 'nvcap:8.0-8.9' }, wins: undefined },
  'an exact value holds': { host: 'nvcap:7.5', entries: { it: 'nvcap:=7.5' }, wins: 'it' },
  'an exact value does not reach the next minor': {
    host: 'nvcap:10.3',
    entries: { it: 'nvcap:=10.0' },
    wins: undefined,
  },
  'the combined image of text-embeddings-inference on 8.6': {
    host: 'nvcap:8.6',
    entries: { it: 'nvcap:8.0-8.9 nvcap:=7.5 nvcap:=9.0 nvcap:=10.0 nvcap:=12.0' },
    wins: 'it',
  },
  'the combined image of text-embeddings-inference on 12.0': {
    host: 'nvcap:12.0',
    entries: { it: 'nvcap:8.0-8.9 nvcap:=7.5 nvcap:=9.0 nvcap:=10.0 nvcap:=12.0' },
    wins: 'it',
  },
  'the combined image of text-embeddings-inference not on 12.1': {
    host: 'nvcap:12.1',
    entries: { it: 'nvcap:8.0-8.9 nvcap:=7.5 nvcap:=9.0 nvcap:=10.0 nvcap:=12.0' },
    wins: undefined,
  },
});

selectionCases('several GPUs', {
  'an entry has to run on all of them': {
    host: 'nvcap:7.0 nvcap:8.9',
    entries: { it: 'nvcap:8.9', both: 'nvcap:7.0 nvcap:8.6' },
    wins: 'both',
    says: { it: /does not run on every GPU of this host: one is 7\.0/ },
  },
  'gpu any is content with one': {
    host: 'nvcap:7.0 nvcap:8.9',
    entries: { it: 'nvcap:8.9', both: 'nvcap:7.0 nvcap:8.6' },
    policy: { gpu: 'any' },
    wins: 'it',
  },
  'nothing runs on all of them': {
    host: 'nvcap:7.0 nvcap:8.9',
    entries: { plain: '', it: 'nvcap:8.9' },
    wins: 'plain',
  },
  'the GPU that an entry suits least decides how close it is': {
    host: 'nvcap:8.0 nvcap:8.6',
    entries: { one: 'nvcap:8.0', each: 'nvcap:8.0 nvcap:8.6' },
    wins: 'each',
  },
});

selectionCases('the closest GPU code', {
  'exact before a lower minor': {
    host: 'nvcap:8.6',
    entries: { lower: 'nvcap:8.0', it: 'nvcap:8.6' },
    wins: 'it',
  },
  'the nearest lower minor': {
    host: 'nvcap:8.9',
    entries: { far: 'nvcap:8.0', it: 'nvcap:8.6' },
    wins: 'it',
    says: { it: /its GPU code is closer/ },
  },
  'a lower minor before PTX': {
    host: 'nvcap:8.9',
    entries: { ptx: 'nvptx:8.9', it: 'nvcap:8.0' },
    wins: 'it',
  },
  'newer PTX before older PTX': {
    host: 'nvcap:9.0',
    entries: { old: 'nvptx:7.0', it: 'nvptx:8.0' },
    wins: 'it',
  },
  'the part’s own features before plain exact': {
    host: 'nvcap:9.0',
    entries: { exact: 'nvcap:9.0', it: 'nvcap:9.0a' },
    wins: 'it',
  },
  'any GPU code before none': { host: 'nvcap:9.0', entries: { plain: '', it: 'nvptx:5.0' }, wins: 'it' },
});

selectionCases('AMD GPUs', {
  'the very target': { host: 'gfx:gfx90a', entries: { it: 'gfx:gfx90a' }, wins: 'it' },
  'another target': {
    host: 'gfx:gfx90a',
    entries: { it: 'gfx:gfx942' },
    wins: undefined,
    says: { it: /this host's GPU is gfx90a/ },
  },
  'one of several targets': {
    host: 'gfx:gfx942',
    entries: { it: 'gfx:gfx90a gfx:gfx942' },
    wins: 'it',
  },
  'a generic target covers its processors': {
    host: 'gfx:gfx1036',
    entries: { it: 'gfx:gfx10-3-generic' },
    wins: 'it',
  },
  'a generic target covers no others': {
    host: 'gfx:gfx1100',
    entries: { it: 'gfx:gfx10-3-generic' },
    wins: undefined,
  },
  'gfx9-generic does not cover gfx90a': {
    host: 'gfx:gfx90a',
    entries: { it: 'gfx:gfx9-generic' },
    wins: undefined,
  },
  'exact before generic': {
    host: 'gfx:gfx942',
    entries: { generic: 'gfx:gfx9-4-generic', it: 'gfx:gfx942' },
    wins: 'it',
  },
  'xnack not said runs with either': {
    host: 'gfx:gfx90a:xnack+',
    entries: { it: 'gfx:gfx90a' },
    wins: 'it',
  },
  'xnack+ needs xnack on': { host: 'gfx:gfx90a', entries: { it: 'gfx:gfx90a:xnack+' }, wins: undefined },
  'xnack- runs on a host that says nothing, for off is usual': {
    host: 'gfx:gfx90a',
    entries: { it: 'gfx:gfx90a:xnack-' },
    wins: 'it',
  },
  'xnack- does not run with xnack on': {
    host: 'gfx:gfx90a:xnack+',
    entries: { it: 'gfx:gfx90a:xnack-' },
    wins: undefined,
  },
  'sramecc+ runs on a host that says nothing, for on is usual': {
    host: 'gfx:gfx90a',
    entries: { it: 'gfx:gfx90a:sramecc+:xnack-' },
    wins: 'it',
  },
  'a setting that fits before none': {
    host: 'gfx:gfx90a:xnack+',
    entries: { any: 'gfx:gfx90a', it: 'gfx:gfx90a:xnack+' },
    wins: 'it',
  },
  'no AMD GPU': { host: 'nvcap:9.0', entries: { it: 'gfx:gfx90a' }, wins: undefined },
  'two different AMD GPUs need both': {
    host: 'gfx:gfx90a gfx:gfx942',
    entries: { one: 'gfx:gfx942', it: 'gfx:gfx90a gfx:gfx942' },
    wins: 'it',
  },
});

selectionCases('accelerators of other makers', {
  'gpu:nvidia is any NVIDIA GPU': { host: 'nvcap:9.0', entries: { it: 'gpu:nvidia' }, wins: 'it' },
  'gpu:intel is claimed by itself': {
    host: 'gpu:intel',
    entries: { plain: '', it: 'gpu:intel' },
    wins: 'it',
  },
  'gpu:amd does not hold on an NVIDIA host': {
    host: 'nvcap:9.0',
    entries: { plain: '', it: 'gpu:amd' },
    wins: 'plain',
    says: { it: /this host's GPU is nvidia/ },
  },
  'accel: of the general kind holds on a device of that kind': {
    host: 'accel:intel-battlemage',
    entries: { plain: '', it: 'accel:intel-xpu' },
    wins: 'it',
  },
  'accel: of another generation does not hold': {
    host: 'accel:habana-gaudi3',
    entries: { plain: '', it: 'accel:habana-gaudi2' },
    wins: 'plain',
    says: { it: /this host has accel:habana-gaudi3/ },
  },
  'accel: of a device does not hold where only the general kind is claimed': {
    host: 'accel:intel-xpu',
    entries: { it: 'accel:intel-battlemage' },
    wins: undefined,
  },
  'code for the very device goes before code for the general kind': {
    host: 'accel:neuron-trn2',
    entries: { general: 'accel:neuron', it: 'accel:neuron-trn2' },
    wins: 'it',
  },
  'machine code goes before a driver’s version alone, and that before Vulkan': {
    host: 'nvcap:9.0 cuda:13.0 accel:vulkan',
    entries: { vulkan: 'accel:vulkan', cuda: 'cuda:12.0', it: 'nvcap:9.0 cuda:12.0' },
    wins: 'it',
  },
  'CUDA goes before Vulkan': {
    host: 'nvcap:9.0 cuda:13.0 accel:vulkan',
    entries: { vulkan: 'accel:vulkan', it: 'cuda:12.0' },
    wins: 'it',
  },
  'a maker’s own interface goes before Vulkan': {
    host: 'gfx:gfx1100 accel:vulkan',
    entries: { vulkan: 'accel:vulkan', it: 'gpu:amd' },
    wins: 'it',
  },
  'an Intel GPU’s own code goes before Vulkan': {
    host: 'accel:intel-arc accel:vulkan',
    entries: { vulkan: 'accel:vulkan', it: 'accel:intel-xpu' },
    wins: 'it',
  },
  'a JetPack is compared as it is written': {
    host: 'nvcap:8.7 jetson:jp6',
    entries: { old: 'jetson:jp5', it: 'jetson:jp6' },
    wins: 'it',
  },
});
