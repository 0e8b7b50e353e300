import { readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { metahubProgram } from '../support/metahub.ts';
import {
  NETWORK_NAMESPACE,
  type NetworkNamespace,
  openNetworkNamespace,
} from '../support/network-namespace.ts';
import { describeWith } from '../support/required-programs.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

/** A command of a transcript, and the lines that it prints. */
interface Step {
  readonly command: string;
  readonly printed: readonly string[];
}

/** The first console session below a heading of a document. */
function sessionOf(document: string, heading: string): readonly Step[] {
  const text = readFileSync(new URL(`../../docs/${document}`, import.meta.url), 'utf8');
  const below = text.slice(text.indexOf(`\n${heading}\n`));
  const [, block = ''] = /```console\n([\s\S]*?)```/.exec(below) ?? [];
  // A line that is indented continues the command above.
  return block
    .split(/^\$ /m)
    .slice(1)
    .map((step) => {
      const lines = step.trimEnd().split('\n');
      const end = lines.findIndex((line, at) => at > 0 && !line.startsWith('  '));
      const length = end < 0 ? lines.length : end;
      return { command: lines.slice(0, length).join('\n'), printed: lines.slice(length) };
    });
}

describeWith(
  [...NETWORK_NAMESPACE, 'bash', 'curl', 'redis-server'],
  'the first commands of a document, word for word in an empty folder',
  () => {
    let workplace: Workplace;
    let network: NetworkNamespace;
    beforeAll(async () => {
      workplace = openWorkplace();
      network = await openNetworkNamespace(workplace);
      symlinkSync(metahubProgram, join(workplace.folder('bin'), 'metahub'));
    });
    afterAll(() => workplace?.close());

    test.each([['replicas.md', '## Try it', 6]])(
      'work as written in %s',
      async (document, heading, count) => {
        const steps = sessionOf(document, heading);
        expect(steps).toHaveLength(count);
        const marked = steps.flatMap(({ command }) => ['echo @@', command]);
        const script = [...marked, 'echo @@', 'kill $(jobs -p)', 'wait'].join('\n');
        const home = workplace.folder('home');
        const { stdout, stderr } = await network.programs.attempt('bash', ['-c', script], {
          cwd: workplace.folder(document),
          env: { PATH: `${join(workplace.directory, 'bin')}:${process.env['PATH']}:/usr/sbin`, HOME: home },
        });
        const outputs = stdout.split('@@\n').slice(1);
        for (const [at, { command, printed }] of steps.entries()) {
          expect(outputs[at], `${command}\n${stderr}`).toContain(printed.join('\n'));
        }
      },
    );
  },
);
