import { createHash } from 'node:crypto';
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from './processes.ts';
import type { Workplace } from './workplace.ts';

/** The requirements of `openDebianTree`. */
export const DEBIAN_TREE = ['root', 'debootstrap', 'chroot', 'tar'];

/** Bootstrapping takes minutes, so a tree is kept between runs as an archive. */
const KEPT = join(tmpdir(), 'metahub-test-debian-12-runtimes.tar');
const RUNTIMES = ['docker.io', 'containerd', 'podman', 'crun', 'ca-certificates'];

/**
 * A minimal Debian 12 with systemd and three container runtimes in its own directory: no procps, no libnss-systemd,
 * no Node.js.
 * @returns its path
 */
export async function openDebianTree(workplace: Workplace): Promise<string> {
  const tree = workplace.folder('debian');
  if (existsSync(KEPT)) {
    await run('tar', ['--extract', '--file', KEPT, '--directory', tree]);
    return tree;
  }
  const options = ['--variant=minbase', '--include=systemd'];
  await run('debootstrap', [...options, 'bookworm', tree], { timeoutMs: 600_000 });
  const install = ['apt-get', 'install', '--yes', '--no-install-recommends', ...RUNTIMES];
  await run('chroot', [tree, ...install], { env: { DEBIAN_FRONTEND: 'noninteractive' }, timeoutMs: 600_000 });
  await run('chroot', [tree, 'apt-get', 'clean']);
  await run('tar', ['--create', '--file', `${KEPT}.${process.pid}`, '--directory', tree, '.']);
  await run('mv', [`${KEPT}.${process.pid}`, KEPT]);
  return tree;
}

/** Every path of a tree with its kind, mode and content, except what running systems and dpkg's own records change. */
export function snapshotOf(tree: string, ignored: RegExp): ReadonlyMap<string, string> {
  const seen = new Map<string, string>();
  for (const name of readdirSync(tree, { recursive: true }).map(String)) {
    const path = join(tree, name);
    if (ignored.test(`/${name}`)) continue;
    const stats = lstatSync(path);
    const mode = stats.mode.toString(8);
    if (stats.isSymbolicLink()) seen.set(`/${name}`, `${mode} -> ${readlinkSync(path)}`);
    else if (stats.isFile())
      seen.set(`/${name}`, `${mode} ${createHash('sha1').update(readFileSync(path)).digest('hex')}`);
    else seen.set(`/${name}`, mode);
  }
  return seen;
}
