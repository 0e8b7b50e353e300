import { watch } from 'node:fs';
import { chmod, chown, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createAccessToken } from '../../src/site/account.ts';
import { openMachineAdmin } from '../../src/site/machine-admin.ts';
import { readMachineFile } from '../../src/site/machine-file.ts';
import { parsePasswordHash } from '../../src/site/password.ts';
import { metahub } from '../support/cli.ts';
import { hashed, machineFolder } from '../support/site.ts';
import { asNobody, CAN_DROP_PRIVILEGES } from '../support/unprivileged.ts';

/** Resolves when a temporary file appears: the account's file has been read and is not replaced yet. */
function temporaryFileIn(folder: string): Promise<void> {
  return new Promise((resolve) => {
    const watcher = watch(folder, (_event, name) => {
      if (!name?.endsWith('.tmp')) return;
      watcher.close();
      resolve();
    });
  });
}

async function lab(text = '') {
  const old = await hashed('old');
  const folder = await machineFolder({ 'lab.yaml': `user: lab\npassword: "${old}"\n${text}` });
  const path = join(folder, 'lab.yaml');
  const account = async () => readMachineFile(await readFile(path, 'utf8'), path);
  const author = { user: 'lab', password: parsePasswordHash(old) ?? expect.fail('the hash can be parsed') };
  return { folder, path, account, author };
}

const typeNames = (account: { readonly types: readonly { readonly name: string }[] }) =>
  account.types.map(({ name }) => name).sort();

describe('changes of machine files', () => {
  test('all take effect when they come at the same time, from one process or several', async () => {
    const { folder, account } = await lab();
    const [one, two] = [openMachineAdmin(folder), openMachineAdmin(folder)];
    await Promise.all(
      Array.from({ length: 10 }, (_, at) =>
        (at % 2 === 0 ? one : two).change('lab', {
          kind: 'add-type',
          type: { name: `t${at}`, features: ['cpu:zen4'] },
        }),
      ),
    );
    expect(typeNames(await account())).toEqual(Array.from({ length: 10 }, (_, at) => `t${at}`));
  });

  test('never undo a password change by the command line', async () => {
    const { folder, account, author } = await lab();
    const admin = openMachineAdmin(folder);
    let isOver = false;
    const outcomes: string[] = [];
    const flood = Array.from({ length: 4 }, async (_, client) => {
      for (let at = 0; !isOver && at < 500; at += 1) {
        const change = admin.change(
          'lab',
          { kind: 'add-type', type: { name: `c${client}-${at}`, features: [] } },
          { author },
        );
        outcomes.push(
          await change.then(
            () => 'done',
            (error) => error.code,
          ),
        );
      }
    });
    const changed = await metahub(['machine', 'passwd', 'lab', '--machines', folder, '--password-stdin'], {
      input: 'new',
    });
    const { password } = await account();
    expect(changed).toMatchObject({ status: 0 });
    const late = await admin
      .change('lab', { kind: 'add-type', type: { name: 'late', features: [] } }, { author })
      .catch((error) => error);
    isOver = true;
    await Promise.all(flood);
    expect(late).toMatchObject({ code: 'changed' });
    expect((await account()).password?.text).toBe(password?.text);
    expect(password?.text).not.toBe(author.password.text);
    expect(outcomes).toContain('done');
  });

  test('never restore an account that somebody removes meanwhile', async () => {
    const { folder, path, author } = await lab();
    const [server, operator] = [openMachineAdmin(folder), openMachineAdmin(folder)];
    const flood = Array.from({ length: 20 }, (_, at) =>
      server
        .change('lab', { kind: 'add-type', type: { name: `t${at}`, features: [] } }, { author })
        .catch((error) => error.code),
    );
    await operator.removeAccount('lab');
    expect(await Promise.all(flood)).toContain('missing');
    await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test.each(['edited', 'removed'] as const)(
    'never overwrite a file that somebody has %s meanwhile',
    async (byHand) => {
      const outcomes: string[] = [];
      for (let round = 0; round < 10; round += 1) {
        const { folder, path } = await lab();
        const before = await readFile(path, 'utf8');
        const writing = temporaryFileIn(folder);
        const change = openMachineAdmin(folder).change('lab', {
          kind: 'add-type',
          type: { name: 'new', features: [] },
        });
        await writing;
        if (byHand === 'edited') await writeFile(path, `${before}# by hand\n`);
        else await rm(path);
        const outcome = change.then(
          () => 'done',
          (error) => error.code,
        );
        outcomes.push(await outcome);
        const after = await readFile(path, 'utf8').catch(() => 'removed');
        expect(after).toMatch(byHand === 'edited' ? /# by hand\n$/ : /^removed$/);
      }
      // Otherwise no round came in between.
      expect(outcomes).toContain('changed');
    },
  );

  test.each([0o600, 0o660, 0o640])('keep the mode %o of the file', async (mode) => {
    const { folder, path } = await lab();
    await chmod(path, mode);
    await openMachineAdmin(folder).change('lab', { kind: 'add-type', type: { name: 'new', features: [] } });
    expect((await stat(path)).mode & 0o777).toBe(mode);
  });

  test.skipIf(process.getuid?.() !== 0)(
    'keep the owner and group of the file when root makes them',
    async () => {
      const { folder, path } = await lab();
      await chown(path, 65534, 65534);
      await openMachineAdmin(folder).change('lab', { kind: 'add-type', type: { name: 'new', features: [] } });
      expect(await stat(path)).toMatchObject({ uid: 65534, gid: 65534 });
    },
  );

  test('add one of two accounts with the same name', async () => {
    const folder = await machineFolder({});
    const outcomes = await Promise.all(
      ['a', 'b'].map(async (password) => {
        const text = await hashed(password);
        return openMachineAdmin(folder)
          .addAccount({ user: 'lab', password: text })
          .then(
            () => text,
            (error) => error.code,
          );
      }),
    );
    const [added] = await openMachineAdmin(folder).accounts();
    expect(outcomes.sort()).toEqual([added?.password?.text, 'exists'].sort());
  });

  test('fail with in-use, and change nothing, while a YAML alias needs what they would replace', async () => {
    const { folder, path } = await lab('repositories: &r [lab/*]\npush: *r\n');
    const before = await readFile(path, 'utf8');
    const admin = openMachineAdmin(folder);
    const change = { kind: 'change-account', change: { repositories: ['new/*'] } } as const;
    await expect(admin.change('lab', change)).rejects.toMatchObject({ code: 'in-use' });
    expect(await readFile(path, 'utf8')).toBe(before);
    const both = { kind: 'change-account', change: { ...change.change, push: ['out/*'] } } as const;
    expect(await admin.change('lab', both)).toMatchObject({ repositories: ['new/*'], push: ['out/*'] });
  });

  test('remove the tokens of a removed type also when a YAML alias names it', async () => {
    const { sha256 } = createAccessToken();
    const { folder } = await lab(
      `groups: [&t node]\ntypes: [{ name: *t, features: [] }]\ntokens: [{ name: a, type: *t, sha256: "${sha256}" }]\n`,
    );
    await writeFile(join(folder, 'groups.yaml'), 'node: {}\n');
    const admin = openMachineAdmin(folder);
    const after = await admin.change('lab', { kind: 'remove-type', name: 'node' });
    expect([after.types, after.tokens]).toEqual([[], []]);
  });

  test('fail with busy while another process holds the lock', async () => {
    const { folder } = await lab();
    // The lock of another host, taken a moment ago: it is never free in time.
    const admin = openMachineAdmin(folder, { lockTimeoutMs: 50 });
    await writeFile(join(folder, '.lock'), JSON.stringify({ place: 'another host', pid: 1, token: 'x' }));
    await expect(
      admin.change('lab', { kind: 'add-type', type: { name: 'new', features: [] } }),
    ).rejects.toMatchObject({
      code: 'busy',
      why: 'another process is changing the machine files: try again',
    });
  });

  test.runIf(CAN_DROP_PRIVILEGES)('fail with read-only when the user cannot write the folder', async () => {
    const { folder, path } = await lab();
    await chmod(folder, 0o755);
    await chmod(path, 0o644);
    await asNobody(() =>
      expect(
        openMachineAdmin(folder).change('lab', { kind: 'remove-type', name: 'x' }),
      ).rejects.toMatchObject({
        code: 'read-only',
        why: 'the directory of machine files cannot be written',
      }),
    );
  });
});
