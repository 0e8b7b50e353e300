/**
 * Asks compilers which flags of a microarchitecture they emit on their own: `npm run idle-flags`.
 *
 * For each x86 node and each flag, compares the code for `-march=NODE` with that for `-march=NODE -mno-FLAG`:
 * all programs in scripts/idle-flags at -O3, and floating-point programs at -Ofast, too. When the code of all
 * of them is equal the flag is idle: a CPU without it runs what the compiler built. Writes
 * scripts/idle-flags/result.json, which the tests compare with the tables in src/host, and
 * docs/idle-flags.md. Names compilers that are not installed, and skips them.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { IDLE_FLAGS, MACRO_FLAGS } from '../src/host/data/x86.ts';
import { allNodes, ancestorSet, flagSet, rootOf } from '../src/host/microarchitectures.ts';

const FOLDER = fileURLToPath(new URL('idle-flags', import.meta.url));
const RESULT = join(FOLDER, 'result.json');
const PAGE = fileURLToPath(new URL('../docs/idle-flags.md', import.meta.url));
const PROGRAMS = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.c'))
  .map((name) => join(FOLDER, name));
/** Fast mathematics changes only floating-point code. */
const OPTIMIZATIONS: readonly (readonly [level: string, programs: RegExp])[] = [
  ['-O3', /./],
  ['-Ofast', /arithmetic|elements/],
];
const COMPILERS = process.argv.length > 2 ? process.argv.slice(2) : ['gcc', 'clang-19'];

/** Node -> its name in compilers, where that is not the node's name with `-` in place of `_`. */
const MARCH: Readonly<Record<string, string>> = {
  mic_knl: 'knl',
  icelake: 'icelake-server',
  k10: 'amdfam10',
  bulldozer: 'bdver1',
  piledriver: 'bdver2',
  steamroller: 'bdver3',
  excavator: 'bdver4',
  zen: 'znver1',
  zen2: 'znver2',
  zen3: 'znver3',
  zen4: 'znver4',
  zen5: 'znver5',
  zen6: 'znver6',
  graniterapids_d: 'graniterapids-d',
  arrowlake_s: 'arrowlake-s',
};
/** The kernel's spelling -> that of compilers, where they differ by more than an underscore. */
const OPTION: Readonly<Record<string, string>> = {
  sha_ni: 'sha',
  abm: 'lzcnt',
  pclmulqdq: 'pclmul',
  bmi1: 'bmi',
  lahf_lm: 'sahf',
  rdrand: 'rdrnd',
  '3dnowext': '3dnowa',
  sse4_1: 'sse4.1',
  sse4_2: 'sse4.2',
  amx_tile: 'amx-tile',
  amx_int8: 'amx-int8',
  amx_bf16: 'amx-bf16',
  amx_fp16: 'amx-fp16',
  avx512_vp2intersect: 'avx512vp2intersect',
};
/** Flags without an option: they have no instruction, or none that a compiler knows. */
const WITHOUT_OPTION = new Set(['flush_l1d', 'tsc_adjust']);

const LIKELY_IDLE = new Set([...IDLE_FLAGS, ...MACRO_FLAGS, 'clwb', 'mmx', 'lahf_lm']);

type Answer = 'emitted' | 'idle' | 'no option';
interface CompilerResult {
  readonly version: string;
  /** Node -> flag -> whether the code changes without the flag. */
  readonly nodes: Record<string, Record<string, Answer>>;
  /** Nodes that this version of the compiler does not know. */
  readonly unknown: string[];
}

const answers: Record<string, CompilerResult> = {};
for (const compiler of COMPILERS) {
  const version = versionOf(compiler);
  if (version === undefined) console.error(`${compiler} is not installed: skipped`);
  else answers[compiler] = askCompiler(compiler, version);
}
const known = readPrevious();
const result = { ...known, ...answers };
writeFileSync(RESULT, `${JSON.stringify(result, null, 2)}\n`);
writeFileSync(PAGE, renderPage(result));

function versionOf(compiler: string): string | undefined {
  const { status, stdout } = spawnSync(compiler, ['--version'], { encoding: 'utf8' });
  return status === 0 ? stdout.split('\n')[0] : undefined;
}

function readPrevious(): Record<string, CompilerResult> {
  try {
    return JSON.parse(readFileSync(RESULT, 'utf8')) as Record<string, CompilerResult>;
  } catch {
    return {};
  }
}

function askCompiler(compiler: string, version: string): CompilerResult {
  const result: CompilerResult = { version, nodes: {}, unknown: [] };
  for (const { name } of allNodes()) {
    if (rootOf(name) !== 'x86_64' || name === 'x86_64') continue;
    const march = `-march=${MARCH[name] ?? name.replaceAll('_', '-')}`;
    if (!accepts(compiler, march)) {
      result.unknown.push(name);
      continue;
    }
    const baseline = new Map<string, string>();
    // Skips a flag that is in the code of an ancestor, because compilers do not drop an instruction of an
    // ancestor.
    const isEmittedBefore = (flag: string) =>
      [...ancestorSet(name)].some((ancestor) => result.nodes[ancestor]?.[flag] === 'emitted');
    const flags = [...(flagSet(name) ?? [])].filter((flag) => !isEmittedBefore(flag)).sort();
    result.nodes[name] = askFlags(compiler, march, flags, baseline);
    console.error(compiler, name, JSON.stringify(result.nodes[name]));
  }
  return result;
}

function accepts(compiler: string, ...options: readonly string[]): boolean {
  const { status } = spawnSync(compiler, [...options, '-x', 'c', '-S', '-o', '/dev/null', '/dev/null']);
  return status === 0;
}

/**
 * Asks first about all flags that are likely idle: when the code is equal without them, all of them are idle.
 * Otherwise, and for the other flags, asks about each alone.
 */
function askFlags(
  compiler: string,
  march: string,
  flags: readonly string[],
  baseline: Map<string, string>,
): Record<string, Answer> {
  const withOption = flags.filter((flag) => accepts(compiler, march, optionOf(flag)));
  const without = flags.filter((flag) => !withOption.includes(flag));
  const likely = withOption.filter((flag) => LIKELY_IDLE.has(flag));
  const isIdle = (some: readonly string[]) => !isCodeChanged(compiler, march, some, baseline);
  const together = likely.length > 0 && isIdle(likely);
  const answers = withOption.map((flag): [string, Answer] => {
    const idle = likely.includes(flag) && together ? true : isIdle([flag]);
    return [flag, idle ? 'idle' : 'emitted'];
  });
  return Object.fromEntries([...without.map((flag): [string, Answer] => [flag, 'no option']), ...answers]);
}

function optionOf(flag: string): string {
  return WITHOUT_OPTION.has(flag) ? '-mno-such-flag' : `-mno-${OPTION[flag] ?? flag.replaceAll('_', '')}`;
}

function isCodeChanged(
  compiler: string,
  march: string,
  flags: readonly string[],
  baseline: Map<string, string>,
): boolean {
  return OPTIMIZATIONS.some(([level, which]) =>
    PROGRAMS.filter((program) => which.test(program)).some((program) => {
      const key = `${program} ${level}`;
      const full = baseline.get(key) ?? compile(compiler, [level, march, program]);
      if (full === undefined) throw new Error(`${compiler} ${march} does not compile ${program}`);
      baseline.set(key, full);
      // A program that does not compile without the flags needs them, so this counts as changed.
      return compile(compiler, [level, march, ...flags.map(optionOf), program]) !== full;
    }),
  );
}

/** Returns the assembly without the lines that name its source; undefined when the program does not compile. */
function compile(compiler: string, options: readonly string[]): string | undefined {
  const { status, stdout } = spawnSync(compiler, [...options, '-w', '-S', '-o', '-'], {
    encoding: 'utf8',
    maxBuffer: 256 * 1024 * 1024,
  });
  return status === 0 ? stdout.replaceAll(/^\s*\.(ident|file)\b.*$/gm, '') : undefined;
}

function renderPage(compilers: Readonly<Record<string, CompilerResult>>): string {
  const names = Object.keys(compilers);
  const rows = new Map<string, string[]>();
  const flags = [
    ...new Set(names.flatMap((name) => Object.values(compilers[name]?.nodes ?? {}).flatMap(Object.keys))),
  ].sort();
  for (const flag of flags) {
    rows.set(
      flag,
      names.map((name) => {
        const nodes = Object.entries(compilers[name]?.nodes ?? {}).filter(([, of]) => flag in of);
        const by = (answer: Answer) => nodes.filter(([, of]) => of[flag] === answer).map(([node]) => node);
        const [emitted, idle, none] = [by('emitted'), by('idle'), by('no option')];
        if (nodes.length === 0) return '–';
        if (emitted.length === nodes.length) return 'emitted';
        if (idle.length === nodes.length) return '**idle**';
        if (none.length === nodes.length) return 'no option';
        return [
          ...(emitted.length > 0 ? [`emitted: ${emitted.join(' ')}`] : []),
          ...(idle.length > 0 ? [`**idle**: ${idle.join(' ')}`] : []),
          ...(none.length > 0 ? [`no option: ${none.join(' ')}`] : []),
        ].join('; ');
      }),
    );
  }
  const versions = names.map((name) => `- \`${name}\`: ${compilers[name]?.version}`);
  return [
    '# Which flags compilers emit on their own',
    '',
    'Generated by `npm run idle-flags`. For each x86 microarchitecture and each of its flags: does the object code of',
    '`-march=NODE` differ from that of `-march=NODE -mno-FLAG`, at `-O3` (and `-Ofast`), over the programs in',
    '[scripts/idle-flags](../scripts/idle-flags)? *Emitted*: it differs. *Idle*: it is equal for every program.',
    '*No option*: the compiler has no option for the flag, so it emits no instruction of it. A cell without nodes holds',
    'for every node that has the flag.',
    '',
    ...versions,
    '',
    `| flag | ${names.join(' | ')} |`,
    `| --- | ${names.map(() => '---').join(' | ')} |`,
    ...[...rows].map(([flag, cells]) => `| ${flag} | ${cells.join(' | ')} |`),
    '',
    '[detection.md](detection.md) says which idle flags a microarchitecture does not demand, and why some idle flags are',
    'demanded all the same: ordinary programs ask the compiler for them by macro (`__AES__`).',
    '',
  ].join('\n');
}
