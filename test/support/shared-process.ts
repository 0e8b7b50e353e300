import { afterAll, expect, vi } from 'vitest';

/** Test files run one after another in the same processes: what one of them changes there, it restores. */
const stateOfProcess = () => ({
  directory: process.cwd(),
  environment: { ...process.env },
  hasFakeTimers: vi.isFakeTimers(),
  mask: process.umask(),
});

// The program's own state is new for each file.
vi.resetModules();
const before = stateOfProcess();
afterAll(() => expect(stateOfProcess()).toEqual(before));
