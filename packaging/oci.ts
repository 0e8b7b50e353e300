import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { FileTree } from './file-tree.ts';
import { addProgram } from './program.ts';
import { HOST_ARCHITECTURE, MANIFEST, RELEASE, ROOT, run, sourceDateEpoch } from './project.ts';

/**
 * Debian packages of the libraries that Node.js is linked with. Certificates of authorities are inside
 * Node.js.
 */
const LIBRARIES = ['libc6', 'libgcc-s1', 'libstdc++6'];
/** Parts that a program which prints English in UTF-8 does not need. */
const NOT_NEEDED = [
  'usr/share/doc/libc6/*.gz',
  'usr/share/lintian',
  'usr/lib/*/gconv',
  'usr/share/gcc',
  'usr/share/gdb',
];
/** The user that the mirror runs as, outside the ranges that Debian assigns to people and services. */
const USER = 65532;

/** Adds the libraries that Node.js is linked with, and the few files that the C library reads, to a tree. */
function addLibraries(tree: FileTree, folder: string): void {
  const downloads = join(folder, 'debs');
  mkdirSync(downloads);
  run('apt-get', ['download', '--quiet', '--quiet', '--option', 'APT::Sandbox::User=root', ...LIBRARIES], {
    cwd: downloads,
  });
  for (const deb of readdirSync(downloads)) run('dpkg-deb', ['--extract', join(downloads, deb), tree.root]);
  run('sh', ['-c', `rm -rf ${NOT_NEEDED.join(' ')}`], { cwd: tree.root });
  mergeUsr(tree);
  tree.write('etc/passwd', `root:x:0:0::/:/sbin/nologin\nmetahub:x:${USER}:${USER}::/:/sbin/nologin\n`);
  tree.write('etc/group', `root:x:0:\nmetahub:x:${USER}:\n`);
  tree.write('etc/nsswitch.conf', 'hosts: files dns\n');
  tree.folder('tmp', 0o1777);
}

/** Moves the files that libc6 of Debian 12 has in /lib and /lib64 into /usr, because those are links elsewhere. */
function mergeUsr(tree: FileTree): void {
  for (const name of readdirSync(tree.root).filter((entry) => /^(lib|lib64|bin|sbin)$/.test(entry))) {
    tree.folder(`usr/${name}`);
    run('cp', ['--archive', `${name}/.`, `usr/${name}`], { cwd: tree.root });
    rmSync(join(tree.root, name), { recursive: true });
    tree.link(name, `usr/${name}`);
  }
}

/** Writes an archive whose bytes depend only on its files. */
function archive(tree: FileTree, target: string, owner: number, paths: readonly string[]): void {
  const form = ['--sort=name', '--format=gnu', '--numeric-owner', `--mtime=@${sourceDateEpoch()}`];
  const owners = [`--owner=${owner}`, `--group=${owner}`];
  run('tar', ['--create', '--file', target, '--directory', tree.root, ...form, ...owners, ...paths]);
}

/**
 * Builds the layers, the one that changes least first, so that a new version of MetaHub is a pull of a few
 * hundred kilobytes.
 */
function buildLayers(folder: string): readonly string[] {
  const libraries = new FileTree(join(folder, 'libraries'));
  addLibraries(libraries, folder);
  const program = new FileTree(join(folder, 'program'));
  addProgram(program, HOST_ARCHITECTURE);
  const state = new FileTree(join(folder, 'state'));
  state.folder('var/cache/metahub', 0o700);

  const layers = ['libraries', 'node', 'program', 'state'].map((name) => join(folder, `${name}.tar`));
  const [librariesTar = '', nodeTar = '', programTar = '', stateTar = ''] = layers;
  archive(libraries, librariesTar, 0, ['.']);
  archive(program, nodeTar, 0, ['usr/lib/metahub/node']);
  archive(program, programTar, 0, ['--exclude=usr/lib/metahub/node', 'usr']);
  // The only folder of the mirror's user: a new volume that is mounted there gets its owner.
  archive(state, stateTar, USER, ['var/cache/metahub']);
  return layers;
}

function configuration(): readonly string[] {
  const labels = {
    title: 'metahub',
    description: MANIFEST.description,
    version: MANIFEST.version,
    url: MANIFEST.homepage,
    source: MANIFEST.homepage.replace(/#.*/, ''),
    licenses: 'Apache-2.0',
    revision: run('git', ['rev-parse', 'HEAD'], { cwd: ROOT }).trim(),
  };
  return [
    ...['--os', 'linux', '--architecture', HOST_ARCHITECTURE],
    ...['--created', new Date(sourceDateEpoch() * 1000).toISOString()],
    ...['--config.user', `${USER}:${USER}`, '--config.workingdir', '/'],
    ...['--config.entrypoint', '/usr/bin/metahub', '--config.cmd', 'serve'],
    ...['--config.env', 'PATH=/usr/bin', '--config.env', 'METAHUB_CONTAINER=on'],
    ...['--config.env', 'METAHUB_DATA=/var/cache/metahub', '--config.volume', '/var/cache/metahub'],
    ...['--config.exposedports', '5080/tcp'],
    ...Object.entries(labels).flatMap(([name, value]) => [
      '--config.label',
      `org.opencontainers.image.${name}=${value}`,
    ]),
  ];
}

/** Builds the OCI image of the built program for this machine's architecture; returns the path of its archive. */
export function buildImage(): string {
  const folder = mkdtempSync(join(tmpdir(), 'metahub-oci-'));
  try {
    const [layout, tag] = [join(folder, 'layout'), MANIFEST.version];
    const image = ['--image', `${layout}:${tag}`];
    run('umoci', ['init', '--layout', layout]);
    run('umoci', ['new', ...image]);
    for (const layer of buildLayers(folder)) {
      const created = `--history.created_by=${basename(layer, '.tar')}`;
      run('umoci', ['raw', 'add-layer', ...image, created, layer]);
    }
    run('umoci', ['config', ...image, ...configuration()]);
    run('umoci', ['gc', '--layout', layout]);
    mkdirSync(RELEASE, { recursive: true });
    const target = join(RELEASE, `metahub-${MANIFEST.version}-${HOST_ARCHITECTURE}.oci.tar`);
    rmSync(target, { force: true });
    run('skopeo', ['copy', '--quiet', `oci:${layout}:${tag}`, `oci-archive:${target}:${tag}`]);
    return target;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
