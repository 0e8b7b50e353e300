import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { RELEASE } from './project.ts';

const NAME = 'SHA256SUMS';

/** Writes the checksums of all published files, in the form that `sha256sum --check` reads. Returns the path. */
export function writeChecksums(): string {
  const target = join(RELEASE, NAME);
  const names = readdirSync(RELEASE).filter((name) => name !== NAME);
  const lines = names.sort().map((name) => {
    const hash = createHash('sha256')
      .update(readFileSync(join(RELEASE, name)))
      .digest('hex');
    return `${hash}  ${name}\n`;
  });
  writeFileSync(target, lines.join(''));
  return target;
}
