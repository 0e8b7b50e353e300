import { execFileSync } from 'node:child_process';
import { lchownSync, lstatSync, mkdirSync, readFileSync, readlinkSync, symlinkSync } from 'node:fs';
import { chmod, chown, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { storeLogin } from '../../src/cli/commands/login/store-login.ts';
import { fileOutput } from '../../src/cli/output.ts';
import { writeConfigFile } from '../../src/lib/config-file.ts';
import { ForeignLinkError, OWN_LINKS, resolveBelow } from '../../src/lib/link-path.ts';
import { openMachineAdmin } from '../../src/site/machine-admin.ts';
import { temporaryFolder } from '../support/folder.ts';
import { runCli } from '../support/run-cli.ts';
import { hashed } from '../support/site.ts';

const OTHER = { uid: 12_345, gid: 12_346 };
const IS_ROOT = process.getuid?.() === 0;

let folder: string;
beforeEach(() => {
  folder = temporaryFolder();
});

/** A link in one folder to a file in another; nothing is there yet. */
function linked(name: string) {
  const managed = join(folder, 'managed');
  const place = join(folder, 'place');
  mkdirSync(managed);
  mkdirSync(place);
  const path = join(place, name);
  symlinkSync(`../managed/${name}`, path);
  return { path, target: join(managed, name), managed, place };
}

/** What writes to a file that its user may have linked. */
const WRITERS: readonly (readonly [
  what: string,
  name: string,
  before: string | undefined,
  write: (path: string) => unknown,
])[] = [
  ['writeConfigFile()', 'file', 'old', (path) => writeConfigFile(path, 'new', { mode: 0o644 })],
  [
    'catalog enable',
    'config.yaml',
    'push: "off"\n',
    (path) => runCli('catalog', 'enable', 'tei', '--config', path),
  ],
  [
    'a stored login',
    'config.json',
    '{ "credsStore": "" }',
    (path) => storeLogin(path, { registry: 'hub.example', login: 'a', password: 'b' }),
  ],
  ['detect --output', 'host.json', 'old', (path) => fileOutput(path).write('new')],
];

describe.each(WRITERS)('%s', (_, name, before, write) => {
  test('writes to the file that a link points to, and keeps the link', async () => {
    const { path, target, managed, place } = linked(name);
    await writeFile(target, before ?? '');
    await write(path);
    expect(readlinkSync(path)).toBe(`../managed/${name}`);
    expect(lstatSync(target).isFile()).toBe(true);
    expect(await readFile(target, 'utf8')).not.toBe(before);
    expect([await readdir(managed), await readdir(place)]).toEqual([[name], [name]]);
  });

  test('creates the file that a link points to when it does not exist', async () => {
    const { path, target } = linked(name);
    await write(path);
    expect(readlinkSync(path)).toBe(`../managed/${name}`);
    expect((await readFile(target, 'utf8')).length).toBeGreaterThan(0);
  });

  test.runIf(IS_ROOT)('follows no link that another user has put into a directory for all', async () => {
    const { path, target, managed, place } = linked(name);
    await writeFile(target, before ?? '');
    await chmod(place, 0o1777);
    lchownSync(path, OTHER.uid, OTHER.gid);
    // As an error or as an exit status.
    await Promise.resolve(path)
      .then(write)
      .catch(() => {});
    expect(await readFile(target, 'utf8')).toBe(before);
    expect([await readdir(managed), await readdir(place)]).toEqual([[name], [name]]);
  });
});

describe('resolveBelow()', () => {
  test.runIf(IS_ROOT).each([
    ['a link of another user in a directory for all', 0o1777, OTHER.uid, 0, false],
    ['a link of this user there', 0o1777, 0, OTHER.uid, true],
    ['a link of the directory’s owner there', 0o1777, OTHER.uid, OTHER.uid, true],
    ['a link of another user in a directory of this user', 0o755, OTHER.uid, 0, true],
  ])('%s', async (_, mode, ownerOfLink, ownerOfFolder, isFollowed) => {
    const { path, target, place } = linked('file');
    await chown(place, ownerOfFolder, 0);
    await chmod(place, mode);
    lchownSync(path, ownerOfLink, 0);
    if (isFollowed) expect(resolveBelow('/', path)).toBe(target);
    else expect(() => resolveBelow('/', path)).toThrow(ForeignLinkError);
  });
});

describe('metahub catalog enable', () => {
  test('creates a file that the mirror’s user can read, and keeps the mode of an existing one', async () => {
    const path = join(folder, 'new', 'config.yaml');
    await runCli('catalog', 'enable', 'tei', '--config', path);
    expect((await stat(path)).mode & 0o777).toBe(0o644);
    await chmod(path, 0o640);
    await runCli('catalog', 'disable', 'tei', '--config', path);
    expect((await stat(path)).mode & 0o777).toBe(0o640);
  });
});

describe('writeConfigFile()', () => {
  test('with isSecret removes the access of other users, and adds none', async () => {
    const path = join(folder, 'auth.json');
    for (const [former, expected] of [
      [0o644, 0o600],
      [0o400, 0o400],
    ] as const) {
      await writeFile(path, '');
      await chmod(path, former);
      await writeConfigFile(path, '{}', { mode: 0o600, isSecret: true });
      expect((await stat(path)).mode & 0o777).toBe(expected);
    }
  });

  test.runIf(IS_ROOT)('keeps the owner of the file', async () => {
    const path = join(folder, 'file');
    await writeFile(path, 'old');
    await chown(path, OTHER.uid, OTHER.gid);
    await writeConfigFile(path, 'new', { mode: 0o600 });
    expect(await stat(path)).toMatchObject(OTHER);
  });

  test.runIf(IS_ROOT)('follows no link of another user where only own links are followed', async () => {
    const { path, target } = linked('file');
    await writeFile(target, 'old');
    lchownSync(path, OTHER.uid, OTHER.gid);
    await expect(writeConfigFile(path, 'new', { mode: 0o600, mayFollow: OWN_LINKS })).rejects.toThrow(
      ForeignLinkError,
    );
    expect(await readFile(target, 'utf8')).toBe('old');
  });

  test('refuses a FIFO and keeps it', async () => {
    const path = join(folder, 'fifo');
    execFileSync('mkfifo', [path]);
    await expect(writeConfigFile(path, 'new', { mode: 0o600 })).rejects.toThrow('not a regular file');
    expect(lstatSync(path).isFIFO()).toBe(true);
  });
});

describe('a machine file that is a symbolic link', () => {
  const edit = (machines: string) =>
    openMachineAdmin(machines).change('lab', { kind: 'add-type', type: { name: 't', features: [] } });

  test('keeps the link when it is changed', async () => {
    const { path, target, place } = linked('lab.yaml');
    await writeFile(target, `user: lab\npassword: "${await hashed('old')}"\n`);
    await edit(place);
    expect(readlinkSync(path)).toBe('../managed/lab.yaml');
    expect(readFileSync(target, 'utf8')).toContain('name: t');
  });

  test.runIf(IS_ROOT)('is not changed when the link belongs to another user', async () => {
    const { path, target, place } = linked('lab.yaml');
    await writeFile(target, `user: lab\npassword: "${await hashed('old')}"\n`);
    lchownSync(path, OTHER.uid, OTHER.gid);
    await expect(edit(place)).rejects.toMatchObject({ code: 'read-only' });
    expect(readFileSync(target, 'utf8')).not.toContain('name: t');
  });
});

describe('fileOutput()', () => {
  test('does not write through a link that awaits its unfinished file', async () => {
    const path = join(folder, 'host.json');
    const precious = join(folder, 'precious');
    await writeFile(precious, 'old', { mode: 0o600 });
    symlinkSync(precious, `${path}.${process.pid}.new`);
    fileOutput(path).write('new');
    expect([await readFile(path, 'utf8'), await readFile(precious, 'utf8')]).toEqual(['new', 'old']);
    expect((await stat(precious)).mode & 0o777).toBe(0o600);
  });

  test.runIf(IS_ROOT)('writes to a device, and does not replace it with a file', () => {
    const device = join(folder, 'null');
    execFileSync('mknod', [device, 'c', '1', '3']);
    fileOutput(device).write('answer');
    expect(lstatSync(device).isCharacterDevice()).toBe(true);
  });
});
