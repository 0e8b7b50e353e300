import * as v from 'valibot';
import { readValue } from '../lib/config-source.ts';
import { checking, combining, looseFields, mapOf, type Refuse, shown, Text } from '../lib/schema.ts';
import { familyOfArchitecture } from './architecture.ts';
import { parseFeature } from './features.ts';
import { canonicalName, findNode } from './microarchitectures.ts';
import type { CpuProfile, GpuProfile, HardwareProfile, HostPlatform, HostProfile } from './profile.ts';
import { similarNames } from './why-not.ts';

const Words = v.array(Text);

function described<Member extends v.GenericSchema<unknown, unknown>>(
  member: Member,
  text: string,
  ...examples: v.InferInput<Member>[]
) {
  return v.pipe(member, v.description(text), v.examples(examples));
}

/** The members that have a value. Other programs write null for an absent member. */
function present<Members extends object>(members: Members) {
  return Object.fromEntries(
    Object.entries(members).filter(([, value]) => value !== undefined && value !== null),
  ) as { [Name in keyof Members]: NonNullable<Members[Name]> };
}

const Platform = v.pipe(
  looseFields({
    os: described(Text, 'GOOS.', 'linux', 'darwin'),
    architecture: described(Text, 'GOARCH.', 'amd64', 'arm64'),
    variant: v.nullish(described(Text, 'The standard level of the architecture.', 'v3', 'v8.2', 'power9')),
  }),
  v.description('As in an OCI image index.'),
  v.transform((platform): HostPlatform => present(platform)),
);

const Evidence = looseFields({
  modelName: v.nullish(v.string()),
  family: v.nullish(v.number()),
  model: v.nullish(v.number()),
  stepping: v.nullish(v.number()),
  parts: v.nullish(Words),
  generation: v.nullish(v.number()),
  armVersion: v.nullish(v.number()),
  uarch: v.nullish(v.string()),
  isa: v.nullish(v.string()),
});

const Cpu = v.pipe(
  looseFields({
    microarchitecture: described(Text, "archspec's name.", 'zen4'),
    vendor: v.nullish(described(Text, 'As the CPU names it.', 'GenuineIntel', 'ARM', 'generic')),
    compatible: described(Words, 'Every microarchitecture whose code this host runs, best first.'),
    flags: described(Words, 'As the kernel spells them; of cores that differ, those that all have.'),
    assumedFlags: v.nullish(
      described(Words, "Of the flags, those that the kernel cannot print and the CPU's model has."),
    ),
    evidence: v.nullish(described(Evidence, 'What the kernel says beside the flags.')),
  }),
  v.transform(
    ({ microarchitecture, vendor, compatible, flags }): CpuProfile => ({
      microarchitecture,
      vendor: vendor ?? 'generic',
      compatible: compatible.includes(microarchitecture) ? compatible : [microarchitecture, ...compatible],
      flags,
    }),
  ),
);

const Gpu = v.pipe(
  looseFields({
    vendor: described(Text, 'The maker.', 'nvidia', 'amd', 'intel', 'aws', 'habana', 'google'),
    name: v.nullish(Text),
    computeCapability: v.nullish(described(Text, "NVIDIA's major.minor.", '9.0')),
    gfxTarget: v.nullish(described(Text, 'AMD.', 'gfx90a')),
    accel: v.nullish(described(Text, 'Other makers: the value of accel: that it brings.', 'habana-gaudi2')),
    integrated: v.optional(described(v.boolean(), 'Part of a system on a chip (Jetson).')),
    pciId: v.nullish(described(Text, 'Maker and device.', '10de:2330')),
    pciAddress: v.nullish(Text),
    mig: v.nullish(described(v.boolean(), 'Partitioned into instances.')),
  }),
  v.transform(
    ({ vendor, name, computeCapability, gfxTarget, integrated }) =>
      present({ vendor, name, computeCapability, gfxTarget, integrated }) as GpuProfile,
  ),
);

const System = looseFields({
  nvidiaDriver: v.nullish(v.string()),
  cuda: v.nullish(v.string()),
  kernel: v.nullish(v.string()),
  virtual: v.nullish(described(v.literal(true), "The firmware tables are a hypervisor's.")),
  glibc: v.nullish(v.string()),
  osId: v.nullish(v.string()),
  osVersion: v.nullish(v.string()),
  smt: v.nullish(v.boolean()),
  fabrics: v.nullish(Words),
  accelerators: v.nullish(described(Words, 'Values of accel: beside those of gpus.', ['vulkan'])),
  jetpack: v.nullish(v.string()),
  graphics: v.nullish(described(Words, 'Vendors of GPUs that are part of the processor.')),
  instanceType: v.nullish(v.string()),
  numaNodes: v.nullish(v.number()),
  memoryBytes: v.nullish(v.number()),
  hugepages: v.nullish(described(Words, 'Sizes with reserved pages.')),
});

const WholeNumber = v.pipe(v.number(), v.safeInteger('a whole number is expected'));

const Hardware = v.pipe(
  looseFields({
    cpuFamily: v.nullish(described(WholeNumber, 'x86.')),
    cpuModel: v.nullish(described(WholeNumber, 'x86.')),
    kernel: v.nullish(described(Text, 'As uname says it.', '6.8.0-49-generic')),
    osId: v.nullish(Text),
    osVersion: v.nullish(Text),
    pci: v.nullish(described(Words, 'Vendor, device and class of the PCI functions, each kind once.')),
  }),
  v.description('What rules of node-feature-discovery look at; absent of a machine type.'),
  v.transform((hardware): HardwareProfile => present(hardware)),
);

const Compilers = mapOf(v.string(), v.array(looseFields({ since: v.string(), flags: v.string() })));

/** A text in the form of a feature, even if no host can have it. */
const AnyFeature = v.pipe(
  v.string(),
  checking((text) => (parseFeature(text) === undefined ? `${shown(text)} is not a feature` : undefined)),
);

/** The root is also valid: it stands for a CPU of an architecture without a family tree. */
function refuseUnknownCpu({ platform, cpu }: Pick<HostProfile, 'platform' | 'cpu'>, refuse: Refuse): void {
  const { microarchitecture } = cpu;
  if (findNode(microarchitecture) || microarchitecture === familyOfArchitecture(platform.architecture))
    return;
  const meant = canonicalName(microarchitecture) ?? similarNames(microarchitecture)[0];
  const suggestion = meant === undefined ? '' : `; did you mean ${meant}?`;
  const why = `there is no microarchitecture ${shown(microarchitecture)}${suggestion}`;
  refuse(why, 'cpu', 'microarchitecture');
}

/** The format that `metahub detect --json` writes and `--profile FILE` reads. Unknown members are ignored. */
export function profileSchema(
  feature: v.GenericSchema<string, string> = AnyFeature,
  microarchitectures: 'known' | 'any' = 'any',
) {
  return v.pipe(
    looseFields({
      platform: Platform,
      cpu: Cpu,
      gpus: described(v.array(Gpu), 'Each GPU or other accelerator, in the order of the PCI bus.'),
      system: v.nullish(System),
      hardware: v.nullish(Hardware),
      features: described(
        v.array(feature),
        'Canonical claims; what they imply (ancestors, lower levels) is not listed.',
        ['cpu:zen4', 'x86-64-v4', 'nvcap:9.0'],
      ),
      warnings: described(v.array(Text), 'What could not be read, and why it matters.'),
      compilers: v.nullish(
        described(
          Compilers,
          'Compiler -> flags that build for the microarchitecture, each from a version on.',
        ),
      ),
      machine: v.nullish(
        described(
          mapOf(v.string(), v.array(v.string())),
          'With --all: rows for a person; not for programs to rely on.',
        ),
      ),
    }),
    combining(({ platform, cpu, gpus, hardware, features, warnings }, refuse): HostProfile => {
      if (microarchitectures === 'known') refuseUnknownCpu({ platform, cpu }, refuse);
      return {
        platform,
        cpu,
        gpus,
        ...(hardware ? { hardware } : {}),
        features,
        warnings,
      };
    }),
  );
}

/** Parses what `metahub detect --json` wrote. @throws {ConfigError} that names the missing or wrong member */
export function parseProfile(json: unknown): HostProfile {
  return readValue(profileSchema(), json);
}
