import { levelOf } from '../../../host/architecture.ts';
import { effectiveCpu } from '../../../host/effective-flags.ts';
import { identify, isAncestorOrSelf } from '../../../host/identify.ts';
import { canonicalName, requiredFlagSet } from '../../../host/microarchitectures.ts';
import type { CrossChecks } from '../../../probe/cross-checks.ts';
import type { InstructionOutcome } from '../../../probe/instructions.ts';
import type { DetectedHost } from '../../detect-host.ts';

/** One comparison, and what a difference means. */
export interface Finding {
  /** `gcc`, `clang`, `ld.so`, `lscpu`, `instructions`. */
  readonly source: string;
  readonly says: string;
  readonly verdict: 'agrees' | 'explained' | 'contradicts';
  readonly why?: string;
}

/** Compares the profile with the answers of other programs and, if `execute`, with the CPU's own behaviour. */
export async function verify(host: DetectedHost, execute: boolean): Promise<readonly Finding[]> {
  const { queryOtherPrograms } = await import('../../../probe/cross-checks.ts');
  const findings = compare(host, await queryOtherPrograms());
  if (!execute) return findings;
  const { runInstructions, testableFlags } = await import('../../../probe/instructions.ts');
  const { architecture } = host.facts;
  return [
    ...findings,
    ...judgeInstructions(host, runInstructions(architecture, testableFlags(architecture))),
  ];
}

/** Compares the answers of other programs with the detected profile. */
export function compare({ facts, detected }: DetectedHost, others: CrossChecks): readonly Finding[] {
  const findings: Finding[] = [];
  for (const compiler of ['gcc', 'clang'] as const) {
    const answer = others[compiler];
    if (answer === undefined) continue;
    findings.push({
      source: `${compiler} ${answer.version}`,
      says: answer.march,
      ...judgeMarch(detected.cpu.microarchitecture, answer.march, facts),
    });
  }
  if (others.dynamicLinker !== undefined) {
    const own = levelOf(facts.architecture, detected.cpu.flags);
    findings.push({
      source: 'ld.so',
      says: others.dynamicLinker,
      ...(own === others.dynamicLinker
        ? { verdict: 'agrees' as const }
        : {
            verdict: 'contradicts' as const,
            why: `the flags reach ${own ?? 'no level'}: glibc reads CPUID itself, and what the kernel reports differs from it`,
          }),
    });
  }
  if (others.lscpu !== undefined) findings.push(judgeLscpu(facts.cpu.flags, others.lscpu.flags));
  return findings;
}

type Verdict = Pick<Finding, 'verdict' | 'why'>;

function judgeMarch(own: string, march: string, facts: DetectedHost['facts']): Verdict {
  const name = canonicalName(march);
  if (name === undefined) {
    return { verdict: 'explained', why: `this name is not in the table: it is not compared` };
  }
  if (name === own) return { verdict: 'agrees' };
  if (isAncestorOrSelf(name, own)) {
    return {
      verdict: 'explained',
      why: `${own} descends from it: the compiler does not know ${own}, goes by the model number, or does not tell the two apart`,
    };
  }
  const has = new Set(effectiveCpu(facts).flags);
  const missing = [...(requiredFlagSet(name) ?? [])].filter((flag) => !has.has(flag));
  if (missing.length > 0) {
    return {
      verdict: 'explained',
      why: `the compiler goes by the model number; code for ${name} may use ${missing.slice(0, 4).join(', ')}, which this CPU lacks`,
    };
  }
  return {
    verdict: 'contradicts',
    why: `the flags suffice for ${name}: metahub detect --why-not ${name} shows the reason against it`,
  };
}

function judgeLscpu(own: readonly string[], theirs: readonly string[]): Finding {
  const [mine, other] = [new Set(own), new Set(theirs)];
  const different = [...own.filter((flag) => !other.has(flag)), ...theirs.filter((flag) => !mine.has(flag))];
  const says = `${theirs.length} flags`;
  if (different.length === 0) return { source: 'lscpu', says, verdict: 'agrees' };
  return {
    source: 'lscpu',
    says,
    verdict: 'explained',
    why: `lscpu shows one kind of core, metahub what all kinds have; they differ in ${different.slice(0, 6).join(', ')}`,
  };
}

/** Judges whether the CPU executes what its flags promise, and which microarchitecture follows from that. */
export function judgeInstructions(
  { facts, detected }: DetectedHost,
  outcomes: ReadonlyMap<string, InstructionOutcome>,
): readonly Finding[] {
  const tried = [...outcomes].filter(([, outcome]) => outcome !== 'unknown');
  if (tried.length === 0) {
    return [
      {
        source: 'instructions',
        says: 'nothing',
        verdict: 'explained',
        why: 'no program can be run from the directory for temporary files, or this architecture has no table',
      },
    ];
  }
  const claimed = new Set(detected.cpu.flags);
  const trapping = tried.filter(([flag, outcome]) => outcome === 'traps' && claimed.has(flag));
  const running = tried.filter(([flag, outcome]) => outcome === 'runs' && !claimed.has(flag));
  const names = (pairs: readonly (readonly [string, unknown])[]) => pairs.map(([flag]) => flag).join(', ');
  const findings: Finding[] = [];
  if (trapping.length > 0) {
    findings.push({
      source: 'instructions',
      says: `${names(trapping)} trap`,
      verdict: 'contradicts',
      why: 'the flags are there, but the instructions end a program (SIGILL): code for them does not run here',
    });
  }
  if (running.length > 0) {
    findings.push({
      source: 'instructions',
      says: `${names(running)} run`,
      verdict: 'explained',
      why: 'the kernel does not report them: it is too old to print them, or a hypervisor hides flags that it cannot disable',
    });
  }
  const flags = [
    ...detected.cpu.flags.filter((flag) => outcomes.get(flag) !== 'traps'),
    ...running.map(([flag]) => flag),
  ];
  const { microarchitecture } = identify({ ...facts.cpu, flags }, facts.architecture);
  findings.push(
    microarchitecture === detected.cpu.microarchitecture
      ? { source: 'instructions', says: `${tried.length} tried: ${microarchitecture}`, verdict: 'agrees' }
      : {
          source: 'instructions',
          says: microarchitecture,
          verdict: 'contradicts',
          why: `by what runs; state it with --set cpu:${microarchitecture}`,
        },
  );
  return findings;
}

const MARKS: Readonly<Record<Finding['verdict'], string>> = {
  agrees: 'ok',
  explained: 'differs',
  contradicts: 'WRONG?',
};

/** Formats the findings for people: one on each line, explanations below. */
export function renderFindings(host: DetectedHost, findings: readonly Finding[]): string {
  const { microarchitecture, assumedFlags = [] } = host.detected.cpu;
  const width = Math.max(...findings.map(({ source }) => source.length), 'detected'.length) + 2;
  const line = (source: string, says: string, mark: string) =>
    `${source.padEnd(width)}${mark.padEnd(9)}${says}\n`;
  const rows = findings.map(
    ({ source, says, verdict, why }) =>
      line(source, says, MARKS[verdict]) + (why === undefined ? '' : `${' '.repeat(width + 9)}${why}\n`),
  );
  const assumed = assumedFlags.length === 0 ? '' : ` (assumes ${assumedFlags.join(', ')})`;
  return line('detected', `${microarchitecture}${assumed}`, '') + rows.join('');
}
