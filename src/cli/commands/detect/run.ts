import { type DetectedHost, detectHost } from '../../detect-host.ts';
import { documentText, type Output } from '../../output.ts';
import { UserError } from '../../user-error.ts';

/** The values of `--format`. */
export const FORMATS = [
  'table',
  'json',
  'features',
  'nfd',
  'variants',
  'conda',
  'eessi',
  'spack',
  'slurm',
  'nomad',
  'build-env',
] as const;
type Format = (typeof FORMATS)[number];

/** The options of `metahub detect`, by commander's names. */
export interface DetectFlags {
  readonly json?: boolean;
  readonly features?: boolean;
  readonly format?: Format;
  readonly root: string;
  readonly arch?: string;
  readonly set?: readonly string[];
  readonly strictArchspec?: boolean;
  readonly whyNot?: string;
  readonly compiler?: string;
  readonly gcc?: string;
  readonly cloud?: boolean;
  readonly capture?: string;
  readonly verify?: boolean;
  readonly execute?: boolean;
  readonly all?: boolean;
}

/**
 * Detects the host and prints one answer.
 * @throws {UserError} as `detectHost`, and status 2 for options that exclude each other
 */
export async function detect(value: string | undefined, flags: DetectFlags, output: Output): Promise<void> {
  const answer = soleAnswer(value, flags, output);
  if (flags.all && flags.root !== '/') {
    throw usageError('--all reads this machine, and --root reads another one', 'Leave out one of the two.');
  }
  if (flags.execute && !flags.verify) {
    throw usageError('--execute belongs to --verify', 'Give both, or neither.');
  }
  if (flags.verify && (flags.root !== '/' || flags.set !== undefined)) {
    throw usageError('--verify compares this machine as it is', 'Leave out --root and --set.');
  }
  if (flags.capture !== undefined) return captureTo(flags.capture, value, flags, output);
  const host = await detectHost(flags);
  output.write(await answer(host));
  if (!host.failed) return;
  process.exitCode = 3;
  if (hasWarnings(value, flags)) return;
  for (const warning of host.profile.warnings) process.stderr.write(`metahub: ${warning}\n`);
}

/** True when the answer itself contains the warnings. */
function hasWarnings(value: string | undefined, flags: DetectFlags): boolean {
  const { format, features, whyNot, compiler, gcc, verify } = flags;
  const isPart = [value, features, whyNot, compiler, gcc, verify].some(Boolean);
  return !isPart && (format === undefined || format === 'table' || format === 'json');
}

/** The options that may accompany `--capture`. */
const WITH_CAPTURE = new Set(['capture', 'root', 'arch']);

async function captureTo(
  directory: string,
  value: string | undefined,
  flags: DetectFlags,
  output: Output,
): Promise<void> {
  const other = Object.entries(flags).find(([name, given]) => Boolean(given) && !WITH_CAPTURE.has(name));
  if (other !== undefined || value !== undefined) {
    throw usageError('--capture goes with no other options', 'Leave out everything but --root and --arch.');
  }
  const { capture } = await import('./capture.ts');
  output.write(await capture(directory, { root: flags.root, architecture: flags.arch }));
}

type Answer = (host: DetectedHost) => Promise<string>;

/**
 * Returns the answer that the options request, and loads only its module.
 * @throws {UserError} status 2 when they request several
 */
function soleAnswer(value: string | undefined, flags: DetectFlags, output: Output): Answer {
  const { json = false, strictArchspec = false, whyNot } = flags;
  const compiler = flags.compiler ?? (flags.gcc === undefined ? undefined : `gcc@${flags.gcc}`);
  const answers: (readonly [option: string, answer: Answer])[] = [];
  if (value !== undefined) {
    answers.push([`“${value}”`, async (host) => (await import('./value.ts')).renderValue(value, host, json)]);
  }
  if (whyNot !== undefined) {
    if (flags.set !== undefined) throw usageError('--why-not judges the host as it is', 'Leave out --set.');
    answers.push([
      '--why-not',
      async (host) => (await import('./value.ts')).renderWhyNot(whyNot, host, { strictArchspec, json }),
    ]);
  }
  if (compiler !== undefined) {
    answers.push([
      '--compiler',
      async (host) => (await import('./value.ts')).renderCompilerFlags(compiler, host, json),
    ]);
  }
  if (flags.verify) answers.push(['--verify', async (host) => verified(host, flags)]);
  const format = flags.format ?? (flags.features ? 'features' : undefined);
  if (format !== undefined) {
    const option = flags.format === undefined ? '--features' : `--format ${format}`;
    if (json && format !== 'json' && format !== 'features')
      answers.push(['--json', () => Promise.resolve('')]);
    answers.push([option, (host) => inFormat(format, host, flags, output)]);
  }
  const [first, second] = answers;
  if (first !== undefined && second !== undefined) {
    throw usageError(`${first[0]} and ${second[0]} ask for different answers`, 'Ask for one at a time.');
  }
  return first?.[1] ?? ((host) => inFormat(json ? 'json' : 'table', host, flags, output));
}

async function verified(host: DetectedHost, { execute = false, json = false }: DetectFlags): Promise<string> {
  const { renderFindings, verify } = await import('./verify.ts');
  const findings = await verify(host, execute);
  if (findings.some(({ verdict }) => verdict === 'contradicts')) process.exitCode = 4;
  return json ? documentText<'detect-verify'>(findings) : renderFindings(host, findings);
}

async function inFormat(
  format: Format,
  host: DetectedHost,
  { all = false, json = false }: DetectFlags,
  output: Output,
): Promise<string> {
  const human = all ? await (await import('./inventory.ts')).readInventory() : undefined;
  switch (format) {
    case 'json':
      return (await import('./render.ts')).renderJson(host, human);
    case 'nfd':
      return (await import('./formats.ts')).renderNfd(host.profile);
    case 'features':
      if (json) return documentText<'detect-value'>(host.profile.features, 0);
      return host.profile.features.map((feature) => `- ${feature}\n`).join('');
    case 'variants':
      return (await import('./formats.ts')).renderVariants(host.profile);
    case 'conda':
      return (await import('./formats.ts')).renderConda(host.profile);
    case 'eessi':
      return (await import('./formats.ts')).renderEessi(host.profile);
    case 'spack':
      return (await import('./formats.ts')).renderSpack(host);
    case 'slurm':
      return (await import('./formats.ts')).renderSlurm(host.profile);
    case 'nomad':
      return (await import('./formats.ts')).renderNomad(host.profile);
    case 'build-env':
      return (await import('./formats.ts')).renderBuildEnv(host.profile);
    case 'table': {
      const { renderTable } = await import('./render.ts');
      return renderTable(host, { human, ...output.terminal() });
    }
  }
}

function usageError(message: string, nextStep: string): UserError {
  return new UserError(message, { nextStep, exitStatus: 2 });
}
