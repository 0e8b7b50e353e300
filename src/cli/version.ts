import { readFileSync } from 'node:fs';

/** The folder of this package: the same from the sources and from the bundle. */
export const PACKAGE_ROOT = new URL('../../', import.meta.url);

const manifest: unknown = JSON.parse(readFileSync(new URL('package.json', PACKAGE_ROOT), 'utf8'));

/** This program's version, from its package.json. */
export const VERSION: string =
  typeof manifest === 'object' && manifest !== null && 'version' in manifest
    ? String(manifest.version)
    : 'unknown';
