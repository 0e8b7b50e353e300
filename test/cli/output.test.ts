import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { columnsOf } from '../../src/cli/output.ts';
import { writeTree } from '../support/host-tree.ts';

const OUTPUT = fileURLToPath(new URL('../../src/cli/output.ts', import.meta.url));
/** Longer than a pipe takes at once. */
const TEXT = 'x'.repeat(300_000);
const WRITES = `const { quickestOutput } = await import('${OUTPUT}');
  quickestOutput().write('x'.repeat(${TEXT.length}));`;

/** In a process of its own, as its stdout is what is tested. */
function write(stdout: 'pipe' | number) {
  const args = ['--import', 'tsx', '--input-type=module', '--eval', WRITES];
  return spawnSync(process.execPath, args, { stdio: ['ignore', stdout, 'pipe'], encoding: 'utf8' });
}

function writeTo(path: string) {
  const file = openSync(path, 'w');
  try {
    return write(file);
  } finally {
    closeSync(file);
  }
}

describe('the output of a command', () => {
  test('reaches the reader of a pipe completely', () => {
    const { stdout, status } = write('pipe');
    expect({ isWhole: stdout === TEXT, status }).toEqual({ isWhole: true, status: 0 });
  });

  test('is written to a file completely', () => {
    const path = join(writeTree({ empty: '' }), 'answer');
    expect(writeTo(path).status).toBe(0);
    expect(readFileSync(path, 'utf8') === TEXT).toBe(true);
  });

  test('stops without an error when the reader closes the pipe', () => {
    expect(writeTo('/dev/null')).toMatchObject({ status: 0, stderr: '' });
  });

  test('ends without an error message when the reader closes the pipe early', () => {
    const program = `node --import tsx --input-type=module --eval "$WRITES" | head -c 10; echo " \${PIPESTATUS[0]}"`;
    const { stdout, stderr } = spawnSync('bash', ['-c', program], {
      env: { ...process.env, WRITES },
      encoding: 'utf8',
    });
    expect({ stdout, stderr }).toEqual({ stdout: 'xxxxxxxxxx 0\n', stderr: '' });
  });
});

describe('a terminal', () => {
  test('that says a width of 0 counts as 80 columns', () => {
    expect(columnsOf({ columns: 0 })).toBe(80);
    expect(columnsOf({ columns: 132 })).toBe(132);
  });

  test('of width 0 gets help as wide as a pipe does', () => {
    const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
    const program = `import('${main}').then(({ main }) => main(['node', 'metahub', 'serve', '--help']))`;
    const node = `'${process.execPath}' --import tsx --input-type=module --eval "${program}"`;
    const run = (command: string) => spawnSync('sh', ['-c', command], { encoding: 'utf8' }).stdout;
    const inTerminal = run(
      `script --quiet --command 'stty cols 0 rows 0; ${node.replaceAll("'", "'\\''")}' /dev/null`,
    );
    expect(inTerminal.replaceAll('\r', '')).toBe(run(node));
  });
});
