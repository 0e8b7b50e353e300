/**
 * What the probes read, before anything is derived from it. A fact that could not be read is absent, and a warning
 * says why. Facts contain no guesses.
 */
export interface HostFacts {
  /** GOOS: `linux`, `darwin`, `windows`. */
  readonly os: string;
  /** GOARCH, as in OCI platforms: `amd64`, `arm64`, `ppc64le`, `ppc64`, `riscv64`, `s390x`, `loong64`. */
  readonly architecture: string;
  readonly cpu: CpuFacts;
  readonly gpus: readonly GpuFacts[];
  /** Vendor, device and class of all PCI functions, without repetitions: `10de:2330:0302`. Absent without a PCI bus. */
  readonly pci?: readonly string[];
  readonly system: SystemFacts;
  /** The operator's own feature lines (`features.d`), as written: `key=value` or `kind:value`. */
  readonly local: readonly string[];
}

/** From the first record of /proc/cpuinfo or the like. For cores that differ, `flags` are those that all have. */
export interface CpuFacts {
  /** `GenuineIntel`, `AuthenticAMD`, or an ARM vendor's name; `generic` when it is unknown. */
  readonly vendor: string;
  /** In the kernel's spelling (`avx512f`, `asimd`), as printed. */
  readonly flags: readonly string[];
  readonly modelName?: string;
  /** x86: family, model and stepping as numbers. */
  readonly family?: number;
  readonly model?: number;
  readonly stepping?: number;
  /** ARM: `0xd4f`, as printed; of all kinds of cores. Those of another implementer than the first are `0x41/0xd05`. */
  readonly parts?: readonly string[];
  /** 32-bit ARM: the version of the architecture, 6 or 7. */
  readonly armVersion?: number;
  /** POWER: 9 for POWER9. */
  readonly generation?: number;
  /** RISC-V: `sifive,u74-mc` or `mvendorid/marchid`. s390x, loongarch64: machine type or model. */
  readonly uarch?: string;
  /** RISC-V: what the `isa` lines of all harts have in common. */
  readonly isa?: string;
}

export interface GpuFacts {
  /** `nvidia`, `amd`, `intel`, or the vendor of another accelerator: `aws`, `habana`, `google`. */
  readonly vendor: string;
  readonly name?: string;
  /** Vendor and device: `10de:2330`. */
  readonly pciId?: string;
  readonly pciAddress?: string;
  /** NVIDIA: `9.0`. */
  readonly computeCapability?: string;
  /** AMD: `gfx90a`. */
  readonly gfxTarget?: string;
  /** Other vendors: the value of `accel:`, for example `habana-gaudi2`. */
  readonly accel?: string;
  /** True for a GPU in a system on a chip (Jetson). Its code does not run on discrete GPUs, and vice versa. */
  readonly integrated?: boolean;
  readonly mig?: boolean;
}

/** All other facts. */
export interface SystemFacts {
  readonly nvidiaDriver?: string;
  /** The highest CUDA version that the driver itself reports: `13.5`. */
  readonly cuda?: string;
  readonly kernel?: string;
  /** True when the firmware tables are a hypervisor's. Absent when they cannot be read. */
  readonly virtual?: true;
  readonly glibc?: string;
  readonly osId?: string;
  readonly osVersion?: string;
  readonly smt?: boolean;
  readonly fabrics?: readonly string[];
  /** Values of `accel:` besides those of `gpus`: `vulkan`, `rknn-rk3588`. */
  readonly accelerators?: readonly string[];
  /** Jetson: `jp6`. */
  readonly jetpack?: string;
  /** Vendors of integrated GPUs: `intel`. */
  readonly graphics?: readonly string[];
  readonly instanceType?: string;
  readonly numaNodes?: number;
  readonly memoryBytes?: number;
  readonly hugepages?: readonly string[];
}
