import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { createTwoFilesPatch } from 'diff';
import { wrap } from '../../../lib/text.ts';
import type { RuntimeOutcome } from '../../../setup/setup.ts';

/** A daemon that takes longer than this to reload has failed, in milliseconds. */
const RELOAD_MS = 120_000;
const WIDTH = 100;

export interface Reload {
  readonly command: string;
  readonly error?: string;
}

/** The commands that make daemons read their changes, each once. */
function reloadCommands(
  outcomes: readonly RuntimeOutcome[],
): ReadonlyMap<string, readonly [string, ...string[]]> {
  return new Map(
    outcomes.flatMap(({ reload }) => (reload === undefined ? [] : [[reload.join(' '), reload]])),
  );
}

/** Makes each daemon read its changes, one after the other. */
export async function reloadRuntimes(outcomes: readonly RuntimeOutcome[]): Promise<readonly Reload[]> {
  const reloads: Reload[] = [];
  for (const [command, [program, ...args]] of reloadCommands(outcomes)) {
    try {
      await promisify(execFile)(program, args, { timeout: RELOAD_MS });
      reloads.push({ command });
    } catch (error) {
      const { stderr, message } = error as { readonly stderr?: string; readonly message: string };
      reloads.push({ command, error: stderr?.trim() || message });
    }
  }
  return reloads;
}

export function renderJson(outcomes: readonly RuntimeOutcome[], reloads: readonly Reload[]): string {
  const runtimes = outcomes.map(({ runtime, changes, warnings, reload, error }) => ({
    runtime,
    changes: changes.map(({ path, before, after }) => ({
      path,
      before: before ?? null,
      after: after ?? null,
    })),
    warnings,
    reload: reload?.join(' ') ?? null,
    error: error ?? null,
  }));
  const ran = reloads.map(({ command, error }) => ({ command, error: error ?? null }));
  return `${JSON.stringify({ runtimes, reloads: ran }, undefined, 2)}\n`;
}

function diffOf({ path, before, after }: RuntimeOutcome['changes'][number]): string {
  const [from, to] = [before === undefined ? '/dev/null' : path, after === undefined ? '/dev/null' : path];
  return createTwoFilesPatch(from, to, before ?? '', after ?? '').replace(/^(?:Index: .*\n)?=+\n/, '');
}

function renderOutcome({ runtime, changes, warnings, error }: RuntimeOutcome, isDry: boolean): string {
  if (error !== undefined) return `${runtime}: left as it is\n  ${error}\n`;
  const what = changes.length === 0 ? 'nothing to change' : isDry ? 'would change' : 'changed';
  const notes = warnings.map((warning) => wrap(`warning: ${warning}`, WIDTH).join('\n    '));
  return [`${runtime}: ${what}`, ...changes.map(diffOf), ...notes.map((note) => `  ${note}`), ''].join('\n');
}

/** Each runtime's changes as a unified diff, its warnings, and what is still to be done. */
export function renderText(
  outcomes: readonly RuntimeOutcome[],
  reloads: readonly Reload[],
  isDry: boolean,
): string {
  const shown = outcomes.map((outcome) => renderOutcome(outcome, isDry));
  const done = reloads.map(({ command, error }) =>
    error === undefined ? `ran: ${command}` : `failed: ${command}\n  ${error}`,
  );
  const open = isDry || reloads.length > 0 ? [] : [...reloadCommands(outcomes).keys()];
  const next =
    open.length > 0 ? [`To make the running daemons read it: ${open.join(' && ')} (--reload runs it)`] : [];
  return `${[...shown, ...done, ...next].join('\n')}\n`;
}
