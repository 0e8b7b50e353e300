import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, test } from 'vitest';
import { nodeBinary } from '../../packaging/node-binary.ts';
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

/**
 * The last version of each kind that the libraries of the package's dependencies have: libc6 2.28, libstdc++6 7.
 * @see https://gcc.gnu.org/onlinedocs/libstdc++/manual/abi.html
 */
const LAST_VERSIONS = { GLIBC: [2, 28], GLIBCXX: [3, 4, 24], CXXABI: [1, 3, 11] } as const;

describeWith(['npm', 'readelf'], 'the Node.js of the packages', () => {
  test.each(['amd64', 'arm64'] as const)(
    'needs no later symbols on %s than the dependencies of the Debian package have',
    async (architecture) => {
      const text = await run('readelf', ['--version-info', '--wide', nodeBinary(architecture).program]);
      for (const [kind, last] of Object.entries(LAST_VERSIONS)) {
        const found = [...text.matchAll(new RegExp(`\\b${kind}_([\\d.]+)`, 'g'))].map(
          ([, version = '']) => version,
        );
        expect(found, kind).not.toEqual([]);
        const limit = last.join('.');
        const later = found.filter((version) => version.localeCompare(limit, 'en', { numeric: true }) > 0);
        expect(later, kind).toEqual([]);
      }
    },
  );
});
