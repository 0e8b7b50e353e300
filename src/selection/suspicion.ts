import type { HostView } from './host-view.ts';
import { judgeLevel } from './matchers/cpu.ts';
import type { Selection, Verdict } from './select.ts';

const CPU_KEYS = new Set(['cpu', 'level', 'variant', 'cpuflag']);

/** The levels that a plain entry is usually built for, and the next one. */
const NEXT_LEVEL: ReadonlyMap<string, string> = new Map([
  ['x86-64-v1', 'x86-64-v2'],
  ['x86-64-v2', 'x86-64-v3'],
]);

function levelsIn({ requirements }: Verdict): readonly string[] {
  return requirements.flatMap(({ anyOf }) =>
    anyOf.filter(({ kind }) => kind === 'level').map(({ value }) => value),
  );
}

function isPlain({ requirements, status }: Verdict): boolean {
  return status === 'eligible' && !requirements.some(({ key }) => CPU_KEYS.has(key));
}

/**
 * Some distributions build the entry that names no level for a higher one than the entry beside it: plain AlmaLinux 10 is
 * x86-64-v3 and stands beside `v2`. Then the marked entry wins and is the slower one. Nothing in the index shows it, so
 * this is a sentence for a person, not a decision; undefined when there is no such suspicion.
 */
export function suspicionOf({ winner, verdicts }: Selection, host: HostView): string | undefined {
  if (winner === undefined) return undefined;
  const [level, ...others] = levelsIn(winner);
  const next = level === undefined ? undefined : NEXT_LEVEL.get(level);
  if (level === undefined || next === undefined || others.length > 0) return undefined;
  if (!judgeLevel(next, host).holds) return undefined;
  const plain = verdicts.find(isPlain);
  const marksMore = verdicts.some((one) => levelsIn(one).some((other) => other > level));
  if (plain === undefined || marksMore) return undefined;
  return (
    `Entry ${plain.position + 1} names no level, and stands beside ${level}: it may be built for a higher one. ` +
    `If it is, set baseline (such as ${next}) for this repository`
  );
}
