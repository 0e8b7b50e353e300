import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { addCompletions } from './completions.ts';
import { FileTree } from './file-tree.ts';
import { nodeBinary } from './node-binary.ts';
import { addProgram } from './program.ts';
import { type Architecture, MANIFEST, RELEASE, ROOT, run, sourceDateEpoch } from './project.ts';

const UNITS = ['metahub.service', 'metahub.socket', 'metahub-detect.service'];
/** Files for the operator to edit. An upgrade keeps them, a purge removes them. */
const CONFFILES = ['etc/default/metahub', 'etc/metahub/config.yaml'];

const source = (name: string) => readFileSync(join(ROOT, 'packaging/deb', name), 'utf8');
/** Converts a version to Debian's form, in which a pre-release sorts before its release. */
const debianVersion = (version: string) => version.replace('-', '~');

function control(architecture: Architecture, installedKib: number): string {
  return source('control')
    .replace('@VERSION@', debianVersion(MANIFEST.version))
    .replace('@ARCHITECTURE@', architecture)
    .replace('@SIZE@', String(installedKib))
    .replace('@HOMEPAGE@', MANIFEST.homepage);
}

function copyright(architecture: Architecture): string {
  const ownLicense = readFileSync(join(ROOT, 'LICENSE'), 'utf8');
  const notices = readFileSync(join(ROOT, 'THIRD-PARTY-NOTICES'), 'utf8');
  const node = readFileSync(nodeBinary(architecture).license, 'utf8');
  const rule = `\n${'='.repeat(80)}\n`;
  return `MetaHub, ${MANIFEST.homepage}\n\n${ownLicense}${rule}${notices}${rule}Node.js\n\n${node}`;
}

function addFiles(tree: FileTree, architecture: Architecture): void {
  addProgram(tree, architecture);
  for (const unit of UNITS) tree.copy(`usr/lib/systemd/system/${unit}`, join(ROOT, 'systemd', unit));
  addCompletions(tree);
  tree.write(
    'usr/share/man/man1/metahub.1.gz',
    gzipSync(readFileSync(join(ROOT, 'man/metahub.1')), { level: 9 }),
  );
  const changelog = gzipSync(readFileSync(join(ROOT, 'CHANGELOG.md')), { level: 9 });
  tree.write('usr/share/doc/metahub/changelog.gz', changelog);
  tree.write('usr/share/doc/metahub/copyright', copyright(architecture));
  for (const name of readdirSync(join(ROOT, 'docs')).filter((entry) => /\.(md|svg)$/.test(entry))) {
    tree.copy(`usr/share/doc/metahub/${name}`, join(ROOT, 'docs', name));
  }
  for (const name of readdirSync(join(ROOT, 'schema'))) {
    tree.copy(`usr/share/metahub/schema/${name}`, join(ROOT, 'schema', name));
  }
  tree.copy('usr/share/metahub/capture-host.sh', join(ROOT, 'scripts/capture-host.sh'), 0o755);
  for (const path of CONFFILES) tree.write(path, source(path.split('/').pop() ?? ''));
  for (const folder of ['images.d', 'machines.d', 'features.d']) tree.folder(`etc/metahub/${folder}`);
}

function addControl(tree: FileTree, architecture: Architecture): void {
  const files = tree.files().map((path) => ({ path, full: join(tree.root, path) }));
  const bytes = files.reduce((sum, { full }) => sum + Math.ceil(statSync(full).size / 1024), 0);
  const sums = files
    .filter(({ path }) => !CONFFILES.includes(path))
    .map(({ path, full }) => `${createHash('md5').update(readFileSync(full)).digest('hex')}  ${path}\n`);
  tree.write('DEBIAN/md5sums', sums.join(''));
  tree.write('DEBIAN/control', control(architecture, bytes));
  tree.write('DEBIAN/conffiles', CONFFILES.map((path) => `/${path}\n`).join(''));
  for (const script of ['postinst', 'prerm', 'postrm']) tree.write(`DEBIAN/${script}`, source(script), 0o755);
}

/**
 * Builds the Debian package from the built program; returns its path.
 * @param isQuick less compression: saves a minute, and the package is half as large again
 */
export function buildDeb(architecture: Architecture, isQuick: boolean): string {
  const folder = mkdtempSync(join(tmpdir(), 'metahub-deb-'));
  try {
    const tree = new FileTree(join(folder, 'tree'));
    addFiles(tree, architecture);
    addControl(tree, architecture);
    tree.setTimes(sourceDateEpoch());
    mkdirSync(RELEASE, { recursive: true });
    const target = join(RELEASE, `metahub_${debianVersion(MANIFEST.version)}_${architecture}.deb`);
    // Debian 11 cannot unpack zstd.
    const compression = isQuick ? ['-Zgzip', '-z1'] : ['-Zxz', '-z6'];
    run('dpkg-deb', ['--root-owner-group', ...compression, '--build', tree.root, target]);
    return target;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
