/**
 * What the probes read, before anything is derived from it. An unreadable fact is absent; a warning beside the facts
 * says why. Facts contain no guesses.
 */
export interface HostFacts {
  /** GOOS: `linux`, `darwin`, `windows`. */
  readonly os: string;
  /** GOARCH, as in OCI platforms: `amd64`, `arm64`, `ppc64le`, `ppc64`, `riscv64`, `s390x`, `loong64`. */
  readonly architecture: string;
  readonly cpu: CpuFacts;
  readonly gpus: readonly GpuFacts[];
  /**
   * Vendor, device and class of the PCI functions, each kind once: `10de:2330:0302`; absent when there is no PCI bus to
   * read.
   */
  readonly pci?: readonly string[];
  readonly system: SystemFacts;
  /** The operator's own feature lines (`features.d`), verbatim `key=value` or `kind:value`. */
  readonly local: readonly string[];
}

/** Of the first record of /proc/cpuinfo or its like; `flags` is the intersection over cores that differ. */
export interface CpuFacts {
  /** `GenuineIntel`, `AuthenticAMD`, an ARM vendor's name, `generic` when not said. */
  readonly vendor: string;
  /** Kernel spellings (`avx512f`, `asimd`), as printed. */
  readonly flags: readonly string[];
  readonly modelName?: string;
  /** x86: as numbers. */
  readonly family?: number;
  readonly model?: number;
  readonly stepping?: number;
  /** ARM: `0xd4f`, as printed; of every kind of core when they differ, of another implementer's as `0x41/0xd05`. */
  readonly parts?: readonly string[];
  /** 32-bit ARM: the version of the architecture, 6 or 7. */
  readonly armVersion?: number;
  /** POWER: 9 for POWER9. */
  readonly generation?: number;
  /** RISC-V: `sifive,u74-mc`, or `mvendorid/marchid`; s390x, loongarch64: the machine type or model. */
  readonly uarch?: string;
  /** RISC-V: the `isa` line, as far as all harts agree. */
  readonly isa?: string;
}

export interface GpuFacts {
  /** `nvidia`, `amd`, `intel`, or the maker of another accelerator: `aws`, `habana`, `google`. */
  readonly vendor: string;
  readonly name?: string;
  /** `10de:2330`. */
  readonly pciId?: string;
  readonly pciAddress?: string;
  /** NVIDIA: `9.0`. */
  readonly computeCapability?: string;
  /** AMD: `gfx90a`. */
  readonly gfxTarget?: string;
  /** Other makers: the value of `accel:` that it brings, `habana-gaudi2`. */
  readonly accel?: string;
  /** True for a part of a system on a chip (Jetson), whose code does not run on a discrete card, nor the reverse. */
  readonly integrated?: boolean;
  readonly mig?: boolean;
}

/** Everything else that features are derived from. */
export interface SystemFacts {
  readonly nvidiaDriver?: string;
  /** The highest CUDA version that the driver reports itself: `13.5`. */
  readonly cuda?: string;
  readonly kernel?: string;
  /** True when a hypervisor wrote the firmware tables. Absent when they cannot be read. */
  readonly virtual?: true;
  readonly glibc?: string;
  readonly osId?: string;
  readonly osVersion?: string;
  readonly smt?: boolean;
  readonly fabrics?: readonly string[];
  /** Values of `accel:` beside those of `gpus`: `vulkan`, `rknn-rk3588`. */
  readonly accelerators?: readonly string[];
  /** Jetson: `jp6`. */
  readonly jetpack?: string;
  /** Vendors of GPUs that are part of the processor: `intel`. */
  readonly graphics?: readonly string[];
  readonly instanceType?: string;
  readonly numaNodes?: number;
  readonly memoryBytes?: number;
  readonly hugepages?: readonly string[];
}
