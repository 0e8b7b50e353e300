import { describe, expect, test } from 'vitest';
import { STREAM_OUTPUT } from '../../src/cli/output.ts';
import { quickDetect } from '../../src/cli/quick-detect.ts';
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
  ])('%j is answered as by the whole program', async (words) => {
    let isAnswered = false;
    const quick = await captureCli(async () => {
      isAnswered = await quickDetect(words, STREAM_OUTPUT);
    });
    expect(isAnswered).toBe(true);
    expect(quick).toEqual(await runCli('detect', ...words));
  });

  test.each([[['--help']], [['--gcc', '12']], [['--jso']], [['--root']], [['cpu', 'level']], [['--all']]])(
    '%j is left to the whole program, with nothing said',
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
