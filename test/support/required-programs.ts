import { describe, test } from 'vitest';
import { lacking } from './installed-programs.ts';

/**
 * A `describe` that needs installed programs. Without them its tests are skipped with a message, or fail with
 * METAHUB_E2E=required.
 */
export function describeWith(programs: readonly string[], name: string, body: () => void): void {
  const missing = lacking(programs);
  if (missing.length === 0) {
    describe(name, body);
  } else if (process.env['METAHUB_E2E'] === 'required') {
    describe(name, () => {
      test('finds what it needs', () => {
        throw new Error(`missing: ${missing.join(', ')}`);
      });
    });
  } else {
    process.stderr.write(`SKIPPED ${name}: missing ${missing.join(', ')}\n`);
    describe.skip(name, body);
  }
}
