import type { ChildProcess } from 'node:child_process';
import diagnosticsChannel from 'node:diagnostics_channel';
import { once } from 'node:events';
import { expect, onTestFinished, test, vi } from 'vitest';
import { runBounded } from '../../src/probe/run-program.ts';

const LIMIT_BYTES = 64 * 1024;

test.each([LIMIT_BYTES, LIMIT_BYTES + 1])(
  'runBounded() keeps at most 64 KiB of the %d bytes that a program prints',
  async (printed) => {
    const program = `process.stdout.write('x'.repeat(${printed}))`;
    const outcome = await runBounded(process.execPath, ['-e', program], { limitMs: 60_000 });
    if (outcome.kind !== 'ended') throw new Error(`it is ${outcome.kind}`);
    expect(outcome.status).toBe(0);
    if (printed <= LIMIT_BYTES) expect(outcome.stdout.length).toBe(printed);
    else expect(outcome.stdout.length).toBeLessThanOrEqual(LIMIT_BYTES);
  },
);

/** The program that runs next. */
function nextProgram(): Promise<ChildProcess> {
  return new Promise((resolve) => {
    const receive = (message: unknown) => {
      diagnosticsChannel.unsubscribe('child_process', receive);
      resolve((message as { readonly process: ChildProcess }).process);
    };
    diagnosticsChannel.subscribe('child_process', receive);
  });
}

test.each([
  ['at its time limit', 50, undefined],
  ['when its caller gives up', 60_000, AbortSignal.abort()],
])('runBounded() starts no timer after it has given a program up %s', async (_, limitMs, signal) => {
  const program = nextProgram();
  const running = runBounded(process.execPath, ['-e', 'setInterval(() => {}, 1e9)'], { limitMs, signal });
  const child = await program;
  const ended = once(child, 'exit');
  expect(await running).toEqual({ kind: 'timed-out', limitMs });
  const timers = vi.spyOn(globalThis, 'setTimeout');
  onTestFinished(() => timers.mockRestore());
  expect(await ended).toEqual([null, 'SIGKILL']);
  // The other listeners of the program's end run after this one.
  await new Promise(setImmediate);
  expect(timers).not.toHaveBeenCalled();
});
