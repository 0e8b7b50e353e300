import { expect, test } from 'vitest';
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
