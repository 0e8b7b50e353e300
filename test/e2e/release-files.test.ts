import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, test } from 'vitest';
import { run } from '../support/processes.ts';
import { describeWith } from '../support/required-programs.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

interface BomComponent {
  readonly type: string;
  readonly name: string;
}

describeWith(['npm', 'sha256sum'], 'what is published beside the packages', () => {
  let bom: string;
  let sums: string;
  beforeAll(async () => {
    const words = ['run', '--silent', 'package', '--', 'sbom', 'checksums'];
    const written = await run('npm', words, { cwd: ROOT, timeoutMs: 240_000 });
    [bom = '', sums = ''] = written.trim().split('\n');
  });

  test('the bill of materials names the program, not the folder of the checkout, each bundled package and Node.js', () => {
    const { metadata, components } = JSON.parse(readFileSync(bom, 'utf8')) as {
      readonly metadata: { readonly component: BomComponent };
      readonly components: readonly BomComponent[];
    };
    expect(metadata.component).toMatchObject({ type: 'application', name: 'metahub' });
    const headings = readFileSync(`${ROOT}/THIRD-PARTY-NOTICES`, 'utf8').matchAll(/^=+\n(\S+) \(/gm);
    const names = components.map(({ name }) => name);
    expect(names).toEqual([...[...headings].map((match) => match[1]), 'node']);
  });

  test('SHA256SUMS holds what sha256sum checks, the bill of materials among it', async () => {
    const checked = await run('sha256sum', ['--check', '--strict', sums], { cwd: dirname(sums) });
    expect(checked).toMatch(/^metahub-\S+\.cdx\.json: OK$/m);
  });
});
