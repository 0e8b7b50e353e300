import { parseArgs } from 'node:util';
import { detect } from './commands/detect/run.ts';
import { fileOutput, type Output, quickestOutput, STREAM_OUTPUT } from './output.ts';
import { endQuietlyWithReader, reportError } from './user-error.ts';

/** The options that scripts and units use. The whole program handles all others. */
const OPTIONS = {
  json: { type: 'boolean' },
  features: { type: 'boolean' },
  output: { type: 'string' },
  root: { type: 'string' },
  arch: { type: 'string' },
  set: { type: 'string', multiple: true },
  'strict-archspec': { type: 'boolean' },
} as const;

/**
 * Runs the usual forms of `metahub detect` without the option parser and the other commands, because loading
 * those takes longer than detection. Resolves to false, without an effect, when the whole program must handle
 * the words: help, rare options and mistakes.
 */
export async function quickDetect(
  words: readonly string[],
  output: Output = quickestOutput(),
): Promise<boolean> {
  const given = parsed(words);
  if (given === undefined) return false;
  const { values, positionals } = given;
  const { root = '/', 'strict-archspec': strictArchspec = false, output: file, ...flags } = values;
  if (output === STREAM_OUTPUT) endQuietlyWithReader();
  try {
    const target = file === undefined ? output : fileOutput(file);
    await detect(positionals[0], { ...flags, root, strictArchspec }, target);
    output.end?.();
  } catch (error) {
    process.exitCode = reportError(error);
  }
  return true;
}

function parsed(words: readonly string[]) {
  // Most calls have no options, and Node.js loads its parser when it is first used.
  if (words.length === 0) return { values: {}, positionals: [] };
  try {
    const given = parseArgs({ args: [...words], options: OPTIONS, allowPositionals: true });
    return given.positionals.length > 1 ? undefined : given;
  } catch {
    // An unknown option, or an option without its value: the whole program handles it, or reports the
    // mistake.
    return undefined;
  }
}
