import { COMPILER_NAMES, flagsForHost, parseCompiler } from '../../../host/compiler-flags.ts';
import { effectiveCpu } from '../../../host/effective-flags.ts';
import { DETECTED_KINDS, isDetectedKind, valuesOf } from '../../../host/features.ts';
import { formatReason, whyNot } from '../../../host/why-not.ts';
import { formatPlatform } from '../../../oci/manifest.ts';
import type { DetectedHost } from '../../detect-host.ts';
import { documentText } from '../../output.ts';
import { UserError } from '../../user-error.ts';

/** Words that `metahub detect WORD` accepts besides kinds of features -> the lines of the answer. */
const VALUES: Readonly<Record<string, (host: DetectedHost) => readonly (string | undefined)[]>> = {
  cpu: ({ profile }) => [profile.cpu.microarchitecture],
  compatible: ({ profile }) => profile.cpu.compatible,
  flags: ({ profile }) => [profile.cpu.flags.join(' ')],
  vendor: ({ profile }) => [profile.cpu.vendor],
  model: ({ facts }) => [facts.cpu.modelName],
  platform: ({ profile }) => [formatPlatform(profile.platform)],
  os: ({ profile }) => [profile.platform.os],
  architecture: ({ profile }) => [profile.platform.architecture],
  arch: ({ profile }) => [profile.platform.architecture],
  variant: ({ profile }) => [profile.platform.variant],
  gpu: ({ profile }) => profile.gpus.map(({ name, vendor }) => name ?? vendor),
  features: ({ profile }) => profile.features,
};

/**
 * Returns the lines that answer one word.
 * @throws {UserError} status 2 for an unknown word, 1 when the host has nothing of that kind.
 */
export function renderValue(name: string, host: DetectedHost, json: boolean): string {
  const values = valuesNamed(name, host);
  if (values === undefined) {
    throw new UserError(`detect has no value “${name}”`, {
      nextStep: `Ask for one of ${[...new Set([...Object.keys(VALUES), ...DETECTED_KINDS])].join(', ')}.`,
      exitStatus: 2,
    });
  }
  if (json) return documentText<'detect-value'>(values, 0);
  if (values.length === 0) throw new UserError(`this host has no ${name}`);
  return values.map((value) => `${value}\n`).join('');
}

/** Returns an empty list when the host has nothing of that kind; undefined when the word is unknown. */
function valuesNamed(name: string, host: DetectedHost): readonly string[] | undefined {
  if (Object.hasOwn(VALUES, name)) {
    return VALUES[name]?.(host).filter((value) => value !== undefined && value !== '') as readonly string[];
  }
  const values = valuesOf(host.profile.features, name);
  return values.length > 0 || isDetectedKind(name) ? values : undefined;
}

/**
 * Returns the flags with which a compiler, `gcc@12`, builds for the host. Warns on stderr when they build for
 * less.
 * @throws {UserError} status 2 for an unknown compiler, 1 for a compiler that has no flags for this host.
 */
export function renderCompilerFlags(written: string, { profile }: DetectedHost, json: boolean): string {
  const compiler = parseCompiler(written);
  if (compiler === undefined) {
    throw new UserError(`“${written}” is not a known compiler and version`, {
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
  if (json) return documentText<'detect-compiler'>({ compiler, ...found });
  if (found.microarchitecture !== microarchitecture) {
    process.stderr.write(
      `metahub: ${written} does not know ${microarchitecture}: these build for ${found.microarchitecture}\n`,
    );
  }
  return `${found.flags}\n`;
}

export interface WhyNotOptions {
  readonly strictArchspec: boolean;
  readonly json: boolean;
}

/**
 * Says what the host lacks to run code for a microarchitecture, or that it can run it.
 * @throws {UserError} status 2 for a name that no microarchitecture has.
 */
export function renderWhyNot(written: string, host: DetectedHost, options: WhyNotOptions): string {
  const { facts, profile } = host;
  const { strictArchspec } = options;
  const cpu = strictArchspec ? facts.cpu : effectiveCpu(facts);
  const answer = whyNot(cpu, facts.architecture, written, { strictArchspec });
  const [unknown] = answer.reasons;
  if (unknown?.kind === 'unknown') {
    const { suggestions } = unknown;
    throw new UserError(`there is no microarchitecture “${written}”`, {
      nextStep:
        suggestions.length === 0
          ? 'Names are archspec’s, such as zen4 or neoverse_v2; metahub detect compatible lists this host’s.'
          : `Did you mean ${suggestions.join(', ')}?`,
      exitStatus: 2,
    });
  }
  if (options.json) return documentText<'detect-why-not'>(answer);
  const { microarchitecture } = profile.cpu;
  if (answer.runs) return `This host (${microarchitecture}) runs code built for ${answer.name}.\n`;
  const reasons = answer.reasons.map((reason) => `  ${formatReason(reason)}\n`).join('');
  return `This host (${microarchitecture}) does not run code built for ${answer.name}:\n${reasons}`;
}
