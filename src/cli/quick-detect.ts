import { parseArgs } from 'node:util';
import { detect } from './commands/detect/run.ts';
import { fileOutput, type Output, quickestOutput, STREAM_OUTPUT } from './output.ts';
import { endQuietlyWithReader, reportError } from './user-error.ts';

/** The options that scripts and units give; every other is for the whole program to take. */
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
 * `metahub detect` as it is mostly called, without the option parser and the other commands: loading those takes longer
 * than detecting. Answers false, and has done nothing, when the words are for the whole program: help, the rarer options,
 * mistakes.
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
  } catch (error) {
    process.exitCode = reportError(error);
  }
  return true;
}

function parsed(words: readonly string[]) {
  // Most calls have none, and Node.js loads its parser with the first.
  if (words.length === 0) return { values: {}, positionals: [] };
  try {
    const given = parseArgs({ args: [...words], options: OPTIONS, allowPositionals: true });
    return given.positionals.length > 1 ? undefined : given;
  } catch {
    // An option that is not among these, or lacks its value: the whole program knows it, or says what is wrong.
    return undefined;
  }
}
