import { packagedText } from '../lib/packaged-files.ts';

const manifest: unknown = JSON.parse(packagedText('package.json'));

/** The version of this program, from its package.json. */
export const VERSION: string =
  typeof manifest === 'object' && manifest !== null && 'version' in manifest
    ? String(manifest.version)
    : 'unknown';
