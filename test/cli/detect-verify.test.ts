import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { compare, judgeInstructions, renderFindings } from '../../src/cli/commands/detect/verify.ts';
import { type DetectedHost, detectHost } from '../../src/cli/detect-host.ts';
import type { InstructionOutcome } from '../../src/probe/instructions.ts';
import { MUSEUM } from '../support/museum.ts';

const hostOf = (name: string): Promise<DetectedHost> => detectHost({ root: join(MUSEUM, name) });

function outcomes(...pairs: readonly (readonly [string, InstructionOutcome])[]) {
  return new Map<string, InstructionOutcome>(pairs);
}

describe('metahub detect --verify', () => {
  test('agrees where compilers, the dynamic linker and lscpu say the same', async () => {
    const host = await hostOf('linux-ryzen-7950x');
    const findings = compare(host, {
      gcc: { version: '13.2', march: 'znver4' },
      clang: { version: '19.1', march: 'znver4' },
      dynamicLinker: 'x86-64-v4',
      lscpu: { flags: host.facts.cpu.flags },
    });
    expect(findings.map(({ verdict }) => verdict)).toEqual(['agrees', 'agrees', 'agrees', 'agrees']);
  });

  test('explains a compiler that is too old to know the microarchitecture', async () => {
    const [finding] = compare(await hostOf('linux-ryzen-9955hx'), {
      gcc: { version: '12.2', march: 'znver4' },
    });
    expect(finding).toMatchObject({ source: 'gcc 12.2', verdict: 'explained' });
    expect(finding?.why).toContain('does not know zen5');
  });

  test('explains a compiler that goes by the model number of a guest whose flags are hidden', async () => {
    const [finding] = compare(await hostOf('xen-xeon-gold-5220r'), {
      clang: { version: '19.1', march: 'cascadelake' },
    });
    expect(finding).toMatchObject({ verdict: 'explained' });
    expect(finding?.why).toContain('avx512f');
  });

  test('reports a difference when the dynamic linker sees another level', async () => {
    const [finding] = compare(await hostOf('linux-ryzen-7950x'), { dynamicLinker: 'x86-64-v3' });
    expect(finding).toMatchObject({ source: 'ld.so', verdict: 'contradicts' });
  });

  test('names the instruction that refutes a claimed flag, and what the CPU is without it', async () => {
    const host = await hostOf('linux-ryzen-7950x');
    const findings = judgeInstructions(host, outcomes(['avx512f', 'traps'], ['avx2', 'runs']));
    expect(findings[0]).toMatchObject({ verdict: 'contradicts', says: 'avx512f trap' });
    expect(findings.at(-1)).toMatchObject({ verdict: 'contradicts', says: 'zen3' });
    expect(renderFindings(host, findings)).toMatch(/^detected\s+zen4\n/);
  });

  test('raises the answer when an instruction runs although the kernel does not report its flag', async () => {
    const host = await hostOf('wsl2-ryzen-ai-hx370');
    const findings = judgeInstructions(host, outcomes(['movdiri', 'runs'], ['movdir64b', 'runs']));
    expect(findings[0]).toMatchObject({ verdict: 'explained', says: 'movdiri, movdir64b run' });
    expect(findings.at(-1)).toMatchObject({ verdict: 'contradicts', says: 'zen5' });
  });

  test('reports that no instruction can be run', async () => {
    const findings = judgeInstructions(await hostOf('linux-ryzen-7950x'), outcomes(['avx2', 'unknown']));
    expect(findings).toMatchObject([{ says: 'nothing', verdict: 'explained' }]);
  });
});
