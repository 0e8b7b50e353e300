import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What happened when an instruction was executed. */
export type InstructionOutcome = 'runs' | 'traps' | 'unknown';

/**
 * For each flag, an instruction that only CPUs with the flag execute, as machine code. A flag whose instruction
 * other CPUs decode as another one (lzcnt) is not listed. Sources: Intel, Software Developer's Manual, volume 2,
 * and Instruction Set Extensions Programming Reference (encodings).
 */
const X86_INSTRUCTIONS: Readonly<Record<string, string>> = {
  ssse3: '66 0f 38 1c c0',
  sse4_1: '66 0f 38 17 c0',
  sse4_2: 'f2 0f 38 f1 c0',
  popcnt: 'f3 0f b8 c0',
  movbe: '0f 38 f0 04 24',
  avx: 'c5 f8 58 c0',
  avx2: 'c5 fd fe c0',
  fma: 'c4 e2 79 b8 c0',
  f16c: 'c4 e2 79 13 c0',
  bmi1: 'c4 e2 78 f2 c0',
  bmi2: 'c4 e2 7b f6 c0',
  aes: '66 0f 38 dc c0',
  pclmulqdq: '66 0f 3a 44 c0 00',
  sha_ni: '0f 38 c9 c0',
  adx: '66 0f 38 f6 c0',
  rdrand: '0f c7 f0',
  fsgsbase: 'f3 48 0f ae c0',
  gfni: '66 0f 38 cf c0',
  vaes: 'c4 e2 7d dc c0',
  vpclmulqdq: 'c4 e3 7d 44 c0 00',
  avx512f: '62 f1 7d 48 fe c0',
  avx512bw: '62 f1 7d 48 fc c0',
  avx512dq: '62 f2 fd 48 40 c0',
  avx512cd: '62 f2 7d 48 44 c0',
  avx512vl: '62 f1 7d 08 fe c0',
  avx512ifma: '62 f2 fd 48 b4 c0',
  avx512vbmi: '62 f2 7d 48 8d c0',
  avx512_vbmi2: '62 f2 7d 48 71 c0',
  avx512_vnni: '62 f2 7d 48 50 c0',
  avx512_bitalg: '62 f2 7d 48 54 c0',
  avx512_vpopcntdq: '62 f2 7d 48 55 c0',
  avx512_bf16: '62 f2 7e 48 72 c0',
  avx512_fp16: '62 f5 7c 48 58 c0',
  avx512_vp2intersect: '62 f2 7f 48 68 c0',
  avx_vnni: 'c4 e2 79 50 c0',
  avx_ifma: 'c4 e2 f9 b4 c0',
  avx_vnni_int8: 'c4 e2 7b 50 c0',
  avx_vnni_int16: 'c4 e2 7a d2 c0',
  avx_ne_convert: 'c4 e2 7a b1 04 24',
  cmpccxadd: 'c4 e2 79 e0 04 24',
  sha512: 'c4 e2 7f cc c0',
  sm3: 'c4 e2 78 da c0',
  sm4: 'c4 e2 7a da c0',
  movdiri: '0f 38 f9 04 24',
  // mov rax,rsp; and rax,-64; sub rax,4096; movdir64b rax,[rsp]
  movdir64b: '48 89 e0 48 83 e0 c0 48 2d 00 10 00 00 66 0f 38 f8 04 24',
  // arch_prctl(ARCH_REQ_XCOMP_PERM, 18); tilerelease
  amx_tile: 'bf 23 10 00 00 be 12 00 00 00 b8 9e 00 00 00 0f 05 c4 e2 78 49 c0',
};

/** Source: Arm Architecture Reference Manual for A-profile (encodings, the least significant byte first). */
const ARM_INSTRUCTIONS: Readonly<Record<string, string>> = {
  aes: '00 48 28 4e',
  sha2: '00 28 28 5e',
  crc32: '00 40 c0 1a',
  atomics: 'e0 03 20 b8',
  fphp: '00 28 e0 1e',
  asimddp: '00 94 80 0e',
  jscvt: '00 00 7e 1e',
  i8mm: '00 a4 80 4e',
  bf16: '00 fc 40 2e',
  sve: '20 50 bf 04',
};

interface Machine {
  /** `e_machine` in the ELF header. */
  readonly elf: number;
  readonly instructions: Readonly<Record<string, string>>;
  /** The machine code of exit(0). */
  readonly exit: string;
}

const MACHINES: Readonly<Record<string, Machine>> = {
  amd64: { elf: 62, instructions: X86_INSTRUCTIONS, exit: '31 ff b8 3c 00 00 00 0f 05' },
  arm64: { elf: 183, instructions: ARM_INSTRUCTIONS, exit: '00 00 80 d2 a8 0b 80 d2 01 00 00 d4' },
};

/** The flags that `runInstructions` can test. */
export function testableFlags(architecture: string): readonly string[] {
  return Object.keys(MACHINES[architecture]?.instructions ?? {});
}

const LIMIT_MS = 2000;

/**
 * Executes one instruction for each flag, each in a program of its own, which may crash. `unknown` when no program
 * can be run, for example because the folder for temporary files is mounted noexec.
 */
export function runInstructions(
  architecture: string,
  flags: readonly string[],
): ReadonlyMap<string, InstructionOutcome> {
  const machine = MACHINES[architecture];
  const outcomes = new Map<string, InstructionOutcome>();
  if (machine === undefined || process.platform !== 'linux') return outcomes;
  const folder = mkdtempSync(join(tmpdir(), 'metahub-verify-'));
  try {
    const path = join(folder, 'instruction');
    const run = (code: string): InstructionOutcome => {
      rmSync(path, { force: true });
      writeFileSync(path, elfProgram(machine.elf, bytes(`${code} ${machine.exit}`)));
      chmodSync(path, 0o700);
      const { status, signal } = spawnSync(path, { stdio: 'ignore', timeout: LIMIT_MS });
      if (status === 0) return 'runs';
      return signal === 'SIGILL' ? 'traps' : 'unknown';
    };
    // Without an instruction, this shows whether a program can be run at all.
    const canRun = run('') === 'runs';
    for (const flag of flags) {
      const code = machine.instructions[flag];
      if (code !== undefined) outcomes.set(flag, canRun ? run(code) : 'unknown');
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return outcomes;
}

function bytes(hexadecimal: string): Buffer {
  return Buffer.from(hexadecimal.replaceAll(' ', ''), 'hex');
}

const ELF_HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;
const LOAD_ADDRESS = 0x400000n;

/**
 * A static program with one segment: ELF header, program header, code.
 * @see https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html
 */
function elfProgram(machine: number, code: Buffer): Buffer {
  const start = ELF_HEADER_BYTES + PROGRAM_HEADER_BYTES;
  const file = Buffer.alloc(start + code.length);
  // 64-bit, little-endian, version 1, System V.
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0]);
  file.writeUInt16LE(2, 16); // e_type: executable
  file.writeUInt16LE(machine, 18);
  file.writeUInt32LE(1, 20); // e_version
  file.writeBigUInt64LE(LOAD_ADDRESS + BigInt(start), 24); // e_entry
  file.writeBigUInt64LE(BigInt(ELF_HEADER_BYTES), 32); // e_phoff
  file.writeUInt16LE(ELF_HEADER_BYTES, 52);
  file.writeUInt16LE(PROGRAM_HEADER_BYTES, 54);
  file.writeUInt16LE(1, 56); // e_phnum
  file.writeUInt32LE(1, 64); // p_type: load
  file.writeUInt32LE(5, 68); // p_flags: read and execute
  file.writeBigUInt64LE(LOAD_ADDRESS, 80); // p_vaddr
  file.writeBigUInt64LE(LOAD_ADDRESS, 88); // p_paddr
  file.writeBigUInt64LE(BigInt(file.length), 96); // p_filesz
  file.writeBigUInt64LE(BigInt(file.length), 104); // p_memsz
  file.writeBigUInt64LE(0x1000n, 112); // p_align
  code.copy(file, start);
  return file;
}
