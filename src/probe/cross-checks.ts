import { runBounded } from './run-program.ts';

/** What other programs on this machine report about its CPU. Absent when a program is missing or reports nothing. */
export interface CrossChecks {
  /** What `gcc -march=native` means: `znver3`. */
  readonly gcc?: { readonly version: string; readonly march: string };
  readonly clang?: { readonly version: string; readonly march: string };
  /** The highest level whose libraries the dynamic linker searches: `x86-64-v3`. */
  readonly dynamicLinker?: string;
  readonly lscpu?: { readonly modelName?: string; readonly flags: readonly string[] };
}

const LIMIT_MS = 5000;
const LINKERS = ['/lib64/ld-linux-x86-64.so.2', '/lib/ld-linux-aarch64.so.1'];

/** Runs the compilers, the dynamic linker and lscpu, each for at most five seconds. */
export async function queryOtherPrograms(signal?: AbortSignal): Promise<CrossChecks> {
  const output = async (program: string, ...args: readonly string[]): Promise<string | undefined> => {
    const outcome = await runBounded(program, args, { limitMs: LIMIT_MS, signal });
    return outcome.kind === 'ended' && outcome.status === 0 ? outcome.stdout : undefined;
  };
  const compiler = async (program: string, march: string | undefined) => {
    const version = /\d+\.\d+(?:\.\d+)?/.exec((await output(program, '--version')) ?? '')?.[0];
    return version === undefined || march === undefined ? undefined : { version, march };
  };
  const linkers = await Promise.all(LINKERS.map(async (linker) => output(linker, '--help')));
  const gcc = await compiler(
    'gcc',
    parseGccTarget((await output('gcc', '-march=native', '-Q', '--help=target')) ?? ''),
  );
  // clang writes the command to stderr.
  const command = await output('sh', '-c', 'clang -march=native -### -E -x c /dev/null 2>&1');
  const clang = await compiler('clang', parseClangTarget(command ?? ''));
  const dynamicLinker = linkers
    .map((help) => parseLinkerHelp(help ?? ''))
    .find((level) => level !== undefined);
  const lscpu = parseLscpu((await output('sh', '-c', 'LC_ALL=C lscpu')) ?? '');
  return {
    ...(gcc === undefined ? {} : { gcc }),
    ...(clang === undefined ? {} : { clang }),
    ...(dynamicLinker === undefined ? {} : { dynamicLinker }),
    ...(lscpu === undefined ? {} : { lscpu }),
  };
}

/** Parses the line `-march=   znver3` of `gcc -march=native -Q --help=target`. */
export function parseGccTarget(help: string): string | undefined {
  return /^\s*-march=\s+(\S+)/m.exec(help)?.[1];
}

/** Parses `"-target-cpu" "znver3"` in the command that clang would run. */
export function parseClangTarget(command: string): string | undefined {
  return /"-target-cpu" "([^"]+)"/.exec(command)?.[1];
}

/** Parses lines such as `x86-64-v3 (supported, searched)`. glibc prints the highest level first. */
export function parseLinkerHelp(help: string): string | undefined {
  return /^\s*(x86-64-v\d) \(supported, searched\)/m.exec(help)?.[1];
}

/** Parses `Model name:` and `Flags:` of `lscpu` in English. */
export function parseLscpu(text: string): CrossChecks['lscpu'] {
  const value = (key: string) => new RegExp(`^\\s*${key}:\\s+(\\S.*)$`, 'm').exec(text)?.[1];
  const flags = value('Flags')?.split(/\s+/);
  const modelName = value('Model name');
  if (flags === undefined) return undefined;
  return { flags, ...(modelName === undefined ? {} : { modelName }) };
}
