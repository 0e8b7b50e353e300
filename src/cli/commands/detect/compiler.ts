import { COMPILER_NAMES, flagsForHost, parseCompiler } from '../../../host/compiler-flags.ts';
import type { DetectedHost } from '../../detect-host.ts';
import { UserError } from '../../user-error.ts';

/**
 * The flags with which a compiler, `gcc@12`, builds for the host; on stderr a word when they build for less.
 * @throws {UserError} status 2 for a compiler that is not known, 1 for one that has nothing for this host.
 */
export function renderCompilerFlags(written: string, { profile }: DetectedHost, json: boolean): string {
  const compiler = parseCompiler(written);
  if (compiler === undefined) {
    throw new UserError(`“${written}” is no compiler and version that is known`, {
      nextStep: `Write name@version, such as gcc@12; known are ${COMPILER_NAMES.join(', ')}.`,
      exitStatus: 2,
    });
  }
  const { microarchitecture, compatible } = profile.cpu;
  const found = flagsForHost(compatible, compiler);
  if (found === undefined) {
    throw new UserError(`${written} builds for nothing that this host runs`, {
      nextStep: 'metahub detect --json lists every compiler’s flags for it under “compilers”.',
    });
  }
  if (json) return `${JSON.stringify({ compiler, ...found }, undefined, 2)}\n`;
  if (found.microarchitecture !== microarchitecture) {
    process.stderr.write(
      `metahub: ${written} does not know ${microarchitecture}: these build for ${found.microarchitecture}\n`,
    );
  }
  return `${found.flags}\n`;
}
