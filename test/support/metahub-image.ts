import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from './processes.ts';
import type { Workplace } from './workplace.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The requirements of `buildMetahubImage`. */
export const METAHUB_IMAGE = ['npm', 'apt-get', 'umoci', 'skopeo'];

/** Builds the container image that a release publishes. @returns the path of an archive for `docker load`, tagged `name` */
export async function buildMetahubImage(workplace: Workplace, name: string): Promise<string> {
  const built = await run('npm', ['run', '--silent', 'package', '--', 'oci'], {
    cwd: ROOT,
    timeoutMs: 240_000,
  });
  const archive = built.trim().split('\n').pop() ?? '';
  const loadable = join(workplace.directory, 'metahub-image.tar');
  await run('skopeo', ['copy', '--quiet', `oci-archive:${archive}`, `docker-archive:${loadable}:${name}`]);
  return loadable;
}
