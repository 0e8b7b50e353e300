import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { RELEASE, ROOT, run } from './project.ts';

/** Packs the npm package of the built program; returns its path. */
export function packNpm(): string {
  mkdirSync(RELEASE, { recursive: true });
  const pack = ['pack', '--silent', '--ignore-scripts', '--pack-destination', RELEASE];
  return join(RELEASE, run('npm', pack, { cwd: ROOT }).trim());
}
