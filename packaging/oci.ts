import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { FileTree } from './file-tree.ts';
import { addProgram } from './program.ts';
import { HOST_ARCHITECTURE, MANIFEST, RELEASE, ROOT, run, sourceDateEpoch } from './project.ts';

/** What Node.js is linked with, from Debian. Certificates of authorities are in Node.js itself. */
const LIBRARIES = ['libc6', 'libgcc-s1', 'libstdc++6'];
/** Of no use to a program that prints English in UTF-8. */
const NOT_NEEDED = [
  'usr/share/doc/libc6/*.gz',
  'usr/share/lintian',
  'usr/lib/*/gconv',
  'usr/share/gcc',
  'usr/share/gdb',
];
/** The user that the mirror runs as, outside every range that Debian gives to people or services. */
const USER = 65532;

/** Puts the C library and what else Node.js is linked with into a tree, and the few files that the C library reads. */
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

/** Debian 12's libc6 still has files in /lib and /lib64, which are links into /usr elsewhere. */
function mergeUsr(tree: FileTree): void {
  for (const name of readdirSync(tree.root).filter((entry) => /^(lib|lib64|bin|sbin)$/.test(entry))) {
    tree.folder(`usr/${name}`);
    run('cp', ['--archive', `${name}/.`, `usr/${name}`], { cwd: tree.root });
    rmSync(join(tree.root, name), { recursive: true });
    tree.link(name, `usr/${name}`);
  }
}

/** An archive whose bytes depend on its files alone. */
function archive(tree: FileTree, target: string, owner: number, paths: readonly string[]): void {
  const form = ['--sort=name', '--format=gnu', '--numeric-owner', `--mtime=@${sourceDateEpoch()}`];
  const owners = [`--owner=${owner}`, `--group=${owner}`];
  run('tar', ['--create', '--file', target, '--directory', tree.root, ...form, ...owners, ...paths]);
}

/** The layers, that which changes least first: a new version of MetaHub is a pull of a few hundred kilobytes. */
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
  // The one folder that belongs to the mirror's user: a new volume there is given its owner.
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

/** Builds the OCI image of the built program, for this machine's architecture; answers the path of its archive. */
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
