import { afterAll, expect, vi } from 'vitest';

/**
 * Test files run one after another in the same processes: what one of them changes there, it restores. Spies and
 * fake timers replace the functions, on which Vitest's own time limits run, too. Vitest restores all spies after a
 * file: a spy on a fake timer brings the fake timer back.
 */
const stateOfProcess = () => ({
  directory: process.cwd(),
  environment: { ...process.env },
  mask: process.umask(),
  functions: [Date, performance.now, setTimeout, clearTimeout, setInterval, clearInterval, setImmediate],
});

const FIRST = Symbol.for('metahub:functions at the start of the process');
const shared = globalThis as { [FIRST]?: unknown };

// The program's own state is new for each file.
vi.resetModules();
const before = stateOfProcess();
shared[FIRST] ??= before.functions;
expect(before.functions, 'the file before in this process left a fake timer or a spy').toEqual(shared[FIRST]);
afterAll(() => expect(stateOfProcess()).toEqual(before));
