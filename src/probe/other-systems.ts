import type { CpuFacts, SystemFacts } from '../host/facts.ts';
import { runBounded } from './bounded-program.ts';
import type { HostRoot } from './host-root.ts';
import type { Problems } from './problems.ts';
import { parseSysctl } from './sysctl.ts';

/** What is told of a host that has no /proc. */
export interface OtherSystem {
  readonly os: 'darwin' | 'windows';
  readonly cpu: CpuFacts;
  readonly system: SystemFacts;
}

/** `sysctl machdep.cpu hw kern` of a Mac, kept as a file in a captured tree. */
const SYSCTL_CAPTURE = '/sysctl.txt';
const SYSCTL_LIMIT_MS = 2000;

/** A Mac or a Windows machine, live or captured; nothing for Linux. */
export async function readOtherSystem(
  root: HostRoot,
  platform: string,
  problems: Problems,
): Promise<OtherSystem | undefined> {
  const other = root.isLive ? await readLive(platform, problems) : readCapture(root);
  if (other !== undefined) {
    problems.warn(
      `containers run in a Linux machine beside ${other.os}: --set os:linux asks what they are given`,
    );
  }
  return other;
}

function readCapture(root: HostRoot): OtherSystem | undefined {
  const sysctl = root.text(SYSCTL_CAPTURE);
  return sysctl === undefined ? undefined : parseMac(sysctl);
}

async function readLive(platform: string, problems: Problems): Promise<OtherSystem | undefined> {
  if (platform === 'win32') return parseWindows(await (await import('systeminformation')).cpu(), problems);
  if (platform !== 'darwin') return undefined;
  const outcome = await runBounded('sysctl', ['machdep.cpu', 'hw', 'kern'], { limitMs: SYSCTL_LIMIT_MS });
  if (outcome.kind !== 'ended') problems.fail('sysctl did not answer: the CPU is unknown');
  return parseMac(outcome.kind === 'ended' ? outcome.stdout : '');
}

/** Parses what `sysctl machdep.cpu hw kern` prints. */
export function parseMac(text: string): OtherSystem {
  const value = (key: string) => new RegExp(`^${key.replaceAll('.', '\\.')}: (\\S.*)$`, 'm').exec(text)?.[1];
  const [kernel, version, memory] = ['kern.osrelease', 'kern.osproductversion', 'hw.memsize'].map(value);
  return {
    os: 'darwin',
    cpu: parseSysctl(text),
    system: {
      osId: 'macos',
      ...(version === undefined ? {} : { osVersion: version }),
      ...(kernel === undefined ? {} : { kernel }),
      ...(memory === undefined ? {} : { memoryBytes: Number(memory) }),
    },
  };
}

/** What systeminformation says of a CPU; on Windows it knows the flags of the first 64-bit CPUs only. */
export interface WindowsCpu {
  readonly vendor: string;
  readonly brand: string;
  readonly family: string;
  readonly model: string;
  readonly stepping: string;
  readonly flags: string;
}

/** Windows as far as it tells of itself; warns of what it does not. */
export function parseWindows(cpu: WindowsCpu, problems: Problems): OtherSystem {
  const number = (text: string) => (/^\d+$/.test(text) ? Number(text) : undefined);
  const [family, model, stepping] = [cpu.family, cpu.model, cpu.stepping].map(number);
  problems.warn('Windows does not tell what the CPU can do: --set cpu:NAME states it');
  return {
    os: 'windows',
    cpu: {
      vendor: /intel/i.test(cpu.vendor)
        ? 'GenuineIntel'
        : /amd/i.test(cpu.vendor)
          ? 'AuthenticAMD'
          : 'generic',
      flags: cpu.flags
        .toLowerCase()
        .split(/\s+/)
        .filter((flag) => flag !== ''),
      ...(cpu.brand === '' ? {} : { modelName: cpu.brand }),
      ...(family === undefined ? {} : { family }),
      ...(model === undefined ? {} : { model }),
      ...(stepping === undefined ? {} : { stepping }),
    },
    system: { osId: 'windows' },
  };
}
