import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createLastGood } from '../../src/cli/serve/last-good.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { temporaryFolder } from '../support/folder.ts';
import { requireBasic } from '../support/guarded-registry.ts';
import { createContent, serveContent, startServer } from '../support/hostile-registry.ts';
import { attempt, type ProgramOptions, run } from '../support/processes.ts';
import { closing } from '../support/upstream.ts';
import { openWorkplace } from '../support/workplace.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** The built program where every user may read it, as installed: it loads parts of itself when they are needed. */
let program: string;
beforeAll(() => {
  const workplace = openWorkplace();
  chmodSync(workplace.directory, 0o755);
  program = workplace.folder('program');
  chmodSync(program, 0o755);
  for (const part of ['bin', 'catalog', 'dist', 'package.json'])
    cpSync(join(ROOT, part), join(program, part), { recursive: true });
  return () => workplace.close();
});

const metahub = (words: readonly string[], options: ProgramOptions = {}) =>
  attempt(process.execPath, [join(program, 'bin/metahub.js'), ...words], options);

const OWNER = { uid: 12_345, gid: 12_346 };

/** A data directory of another user's below one that is closed to that user, as systemd's is with DynamicUser. */
let data: string;
/** A folder of root's. */
let precious: string;
beforeEach(() => {
  const folder = temporaryFolder();
  precious = join(folder, 'precious');
  mkdirSync(join(precious, 'inner'), { recursive: true });
  writeFileSync(join(precious, 'inner', 'file'), '');
  data = join(folder, 'private', 'metahub');
  mkdirSync(join(data, 'v1'), { recursive: true, mode: 0o700 });
  chmodSync(join(folder, 'private'), 0o700);
  for (const path of [data, join(data, 'v1')]) chownSync(path, OWNER.uid, OWNER.gid);
});

/** Has the owner of the data put a link to root's folder into it. */
function plant(...path: readonly string[]): void {
  const link = join(data, 'v1', ...path);
  mkdirSync(join(link, '..'), { recursive: true });
  symlinkSync(precious, link);
}

/** A registry that gives `team/app:v1` to `user:secret` alone. */
async function privateRegistry(): Promise<string> {
  const content = createContent();
  const put = (bytes: Buffer, mediaType: string) => ({
    mediaType,
    digest: content.putBlob(bytes),
    size: bytes.length,
  });
  const config = Buffer.from(JSON.stringify({ os: 'linux', architecture: 'amd64', rootfs: {} }));
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    config: put(config, 'application/vnd.oci.image.config.v1+json'),
    layers: [put(randomBytes(3000), MEDIA_TYPE.octets)],
  };
  content.putManifest(manifest, MEDIA_TYPE.ociManifest, 'v1');
  return closing(await startServer(requireBasic('user:secret', serveContent(content)))).url;
}

/** A file of logins that only root can read. */
function loginsOf(registry: string): string {
  const path = join(precious, 'auth.json');
  const auth = Buffer.from('user:secret').toString('base64');
  writeFileSync(path, JSON.stringify({ auths: { [registry]: { auth } } }), { mode: 0o600 });
  return path;
}

async function warm() {
  const url = await privateRegistry();
  const words = ['warm', 'reg.test/team/app:v1', '--data', data, '--upstream', `reg.test=${url}`];
  return metahub([...words, '--set', 'cpu:broadwell'], {
    env: { REGISTRY_AUTH_FILE: loginsOf(new URL(url).host) },
  });
}

describe.runIf(process.getuid?.() === 0)('root, for data of another user,', () => {
  test.each([['ls'], ['prune', '--all']])(
    'removes nothing that a link in it leads to: cache %s',
    async (...words) => {
      plant('incoming');
      plant('records');
      plant('blobs', 'sha256');
      await metahub(['cache', ...words, '--data', data]);
      expect(readdirSync(precious, { recursive: true })).toEqual(['inner', 'inner/file']);
    },
  );

  test('lists, verifies and removes content, which stays that user’s', async () => {
    expect(await warm()).toMatchObject({ status: 0, stderr: '' });
    expect((await metahub(['cache', 'ls', '--data', data])).stdout).toMatch(/^reg\.test\/team\/app .* v1$/m);
    expect((await metahub(['cache', 'verify', '--data', data])).stdout).toBe('3 of 3 items are intact\n');
    const foreign = await run('find', [data, '!', '-uid', `${OWNER.uid}`]);
    expect(foreign).toBe('');
    expect((await metahub(['cache', 'prune', '--all', '--data', data])).stdout).toMatch(/^removed 3 items/);
  });

  test('fetches into it with logins that only root can read', async () => {
    const { status, stdout, stderr } = await warm();
    expect(stderr).toBe('');
    expect(stdout).toMatch(/^reg\.test\/team\/app:v1: 2 blobs, /);
    expect(status).toBe(0);
    expect(statSync(join(data, 'v1', 'incoming'))).toMatchObject(OWNER);
  });

  test('serves nothing, and says as whom to start the mirror', async () => {
    plant('incoming');
    const { status, stderr } = await metahub(['serve', '--data', data, '--listen', '127.0.0.1:0']);
    expect([status, stderr]).toEqual([
      1,
      `metahub: ${data} belongs to another user (${OWNER.uid}), whose links root would follow
  Run it as that user, or name another directory: --data DIR.
`,
    ]);
    expect(readdirSync(precious, { recursive: true })).toEqual(['inner', 'inner/file']);
  });

  test('serves with no configuration that the user keeps there', async () => {
    mkdirSync(join(data, 'last-good', 'images'), { recursive: true });
    const lastGood = createLastGood(data);
    expect(await lastGood.flags()).toBeUndefined();
    chownSync(data, 0, 0);
    expect(await lastGood.flags()).toEqual({ images: join(data, 'last-good', 'images') });
  });

  test.each([[['incoming']], [['blobs', 'sha256']]])('fetches nothing through the link %j', async (path) => {
    plant(...path);
    await warm();
    expect(readdirSync(precious).sort()).toEqual(['auth.json', 'inner']);
    expect(readdirSync(join(precious, 'inner'))).toEqual(['file']);
  });
});
