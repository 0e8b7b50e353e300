import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { STREAM_OUTPUT } from '../../src/cli/output.ts';
import { quickDetect } from '../../src/cli/quick-detect.ts';
import { temporaryFolder } from '../support/folder.ts';
import { writeTree } from '../support/host-tree.ts';
import { captureCli, runCli } from '../support/run-cli.ts';

describe('the quick way to detect', () => {
  test.each([
    [[]],
    [['--json']],
    [['--features']],
    [['cpu']],
    [['--json', 'level', '--set', 'cpu:zen4', '--set=nvcap:9.0']],
    [['--root', '/', '--arch', 'x86_64', '--strict-archspec']],
    [['--root', '/nonexistent']],
    [['--set', 'cpu:zenn4']],
    [['nonsense']],
  ])('answers %j like the whole program', async (words) => {
    let isAnswered = false;
    const quick = await captureCli(async () => {
      isAnswered = await quickDetect(words, STREAM_OUTPUT);
    });
    expect(isAnswered).toBe(true);
    expect(quick).toEqual(await runCli('detect', ...words));
  });

  test.each([[['--help']], [['--gcc', '12']], [['--jso']], [['--root']], [['cpu', 'level']], [['--all']]])(
    'leaves %j to the whole program, without output',
    async (words) => {
      let isAnswered = true;
      const quick = await captureCli(async () => {
        isAnswered = await quickDetect(words, STREAM_OUTPUT);
      });
      expect(isAnswered).toBe(false);
      expect(quick).toEqual({ stdout: '', stderr: '', status: 0 });
    },
  );
});

describe('--output', () => {
  test('writes the answer to a file that everyone may read, and prints nothing', async () => {
    const folder = temporaryFolder();
    const file = join(folder, 'profile.json');
    writeFileSync(file, 'the answer of the last boot');
    let printed = '';
    const output = {
      write: (text: string) => (printed += text),
      terminal: () => ({ width: 80, colour: false }),
    };
    try {
      await quickDetect(
        ['--json', '--root', writeTree({ 'proc/cpuinfo': '' }), '--arch', 'amd64', '--output', file],
        output,
      );
      expect(JSON.parse(readFileSync(file, 'utf8')).platform.architecture).toBe('amd64');
      expect(statSync(file).mode & 0o777).toBe(0o644);
      expect(readdirSync(folder)).toEqual(['profile.json']);
      expect(printed).toBe('');
    } finally {
      process.exitCode = 0;
    }
  });
});
