import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { describeWith } from '../support/required-programs.ts';
import { startWholeMirror } from '../support/whole-mirror.ts';
import { openWorkplace } from '../support/workplace.ts';

describeWith(['promtool'], 'the metrics of a whole mirror', () => {
  test('pass promtool check metrics, before and after a pull', async () => {
    const workplace = openWorkplace();
    try {
      const mirror = await startWholeMirror(workplace);
      for (const round of ['before', 'after']) {
        const input = await (await fetch(`http://127.0.0.1:${mirror.port}/metrics`)).text();
        expect(input).toContain('metahub_build_info');
        const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
          input,
          encoding: 'utf8',
        });
        expect([round, status, stdout, stderr]).toEqual([round, 0, '', '']);
        const { tag } = mirror.push();
        await fetch(`http://127.0.0.1:${mirror.port}/v2/library/app/manifests/${tag}`);
      }
    } finally {
      await workplace.close();
    }
  });
});
