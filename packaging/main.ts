import { rmSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { writeChecksums } from './checksums.ts';
import { buildDeb } from './deb.ts';
import { buildExecutable } from './executable.ts';
import { packNpm } from './npm.ts';
import { buildImage } from './oci.ts';
import { HOST_ARCHITECTURE, RELEASE } from './project.ts';
import { writeSbom } from './sbom.ts';

const PARTS = {
  npm: () => [packNpm()],
  // Only the copy of Node.js is for the other architecture, so one machine builds both.
  deb: (isQuick: boolean) => {
    const architectures = isQuick ? [HOST_ARCHITECTURE] : (['amd64', 'arm64'] as const);
    return architectures.map((architecture) => buildDeb(architecture, isQuick));
  },
  executable: () => [buildExecutable()],
  oci: () => [buildImage()],
  sbom: () => [writeSbom()],
  checksums: () => [writeChecksums()],
} as const;

type Part = keyof typeof PARTS;
const ALL = Object.keys(PARTS) as readonly Part[];

function isPart(word: string): word is Part {
  return Object.hasOwn(PARTS, word);
}

/**
 * `npm run package [-- PART...] [-- --quick]`: builds what is published into dist/release, and prints the
 * paths.
 */
function main(): void {
  const { values, positionals } = parseArgs({
    options: { quick: { type: 'boolean' } },
    allowPositionals: true,
  });
  const parts = positionals.length === 0 ? ALL : positionals;
  const unknown = parts.find((part) => !isPart(part));
  if (unknown !== undefined) {
    process.stderr.write(`there is no part “${unknown}”; there are: ${ALL.join(', ')}\n`);
    process.exit(2);
  }
  if (positionals.length === 0) rmSync(RELEASE, { recursive: true, force: true });
  for (const part of parts.filter(isPart)) {
    for (const path of PARTS[part](values.quick ?? false)) process.stdout.write(`${path}\n`);
  }
}

main();
