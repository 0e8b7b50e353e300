import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const UNRELEASED = '## [Unreleased]';

/** Why a release cannot be made, and what to do about it. */
export class ReleaseError extends Error {}

/**
 * Returns the changelog of a release: the unreleased section gets the version and the date, and a new empty
 * section precedes it.
 * @throws {ReleaseError} when nothing is unreleased or the version exists already
 */
export function releasedChangelog(changelog: string, version: string, date: string): string {
  const [before, ...rest] = changelog.split(`${UNRELEASED}\n`);
  if (rest.length !== 1) throw new ReleaseError(`CHANGELOG.md must have one line “${UNRELEASED}”`);
  const [after = ''] = rest;
  const [changes = ''] = after.split(/^## \[/m, 1);
  if (changes.trim() === '')
    throw new ReleaseError('CHANGELOG.md has nothing under “Unreleased”: describe the release there');
  if (after.includes(`## [${version}]`)) throw new ReleaseError(`CHANGELOG.md has ${version} already`);
  return `${before}${UNRELEASED}\n\n## [${version}] - ${date}\n${after}`;
}

/** True when `next` is a version that follows `last`. */
export function isLater(next: string, last: string): boolean {
  const form = /^(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?$/;
  const [a, b] = [form.exec(next), form.exec(last)];
  if (a === null || b === null) return false;
  for (const part of [1, 2, 3]) {
    const difference = Number(a[part]) - Number(b[part]);
    if (difference !== 0) return difference > 0;
  }
  // A pre-release precedes its release.
  if (a[4] === undefined || b[4] === undefined) return b[4] !== undefined && a[4] === undefined;
  return a[4] > b[4];
}

function git(...words: readonly string[]): string {
  return execFileSync('git', words, { cwd: ROOT, encoding: 'utf8' }).trim();
}

function npm(...words: readonly string[]): void {
  execFileSync('npm', words, { cwd: ROOT, stdio: ['ignore', 2, 2] });
}

function edit(path: string, change: (text: string) => string): void {
  const full = join(ROOT, path);
  writeFileSync(full, change(readFileSync(full, 'utf8')));
}

/** Sets the version in all files, dates the changelog, commits and tags. */
function tag(version: string): void {
  const { version: last } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  if (!isLater(version, last)) throw new ReleaseError(`${version} does not come after ${last}`);
  if (git('status', '--porcelain') !== '')
    throw new ReleaseError('the checkout has changes: commit or stash them first');
  if (git('branch', '--show-current') !== 'main')
    throw new ReleaseError('a release is made on main: git switch main');
  const date = new Date().toISOString().slice(0, 10);
  edit('CHANGELOG.md', (text) => releasedChangelog(text, version, date));
  npm('version', '--no-git-tag-version', version);
  edit('deploy/helm/metahub/Chart.yaml', (text) =>
    text.replaceAll(/^(version|appVersion): .*$/gm, `$1: ${version}`),
  );
  edit('deploy/compose/compose.yaml', (text) =>
    text.replaceAll(/METAHUB_VERSION:-[^}]+/g, `METAHUB_VERSION:-${version}`),
  );
  npm('run', 'manifests');
  git('commit', '--quiet', '--all', '--message', `chore(release): ${version}`);
  git('tag', '--annotate', '--message', `MetaHub ${version}`, `v${version}`);
}

/** `npm run release -- VERSION`; `-- --dry-run` packages the working tree as it is. */
function main(): void {
  const { values, positionals } = parseArgs({
    options: { 'dry-run': { type: 'boolean' } },
    allowPositionals: true,
  });
  const [version] = positionals;
  if (version === undefined && !values['dry-run']) {
    throw new ReleaseError('name the version: npm run release -- 1.2.3, or --dry-run for the packages alone');
  }
  npm('run', 'check');
  if (version !== undefined && !values['dry-run']) tag(version);
  npm('run', 'package');
  process.stdout.write('dist/release has what is published; SHA256SUMS covers all of it.\n');
  if (version !== undefined && !values['dry-run'])
    process.stdout.write(`Next: git push origin main v${version}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    main();
  } catch (error) {
    process.stderr.write(`release: ${(error as Error).message}\n`);
    process.exitCode = 1;
  }
}
