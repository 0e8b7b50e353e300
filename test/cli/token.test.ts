import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { tokenHashOf } from '../../src/site/account.ts';
import { readMachineFile } from '../../src/site/machine-file.ts';
import { runCli } from '../support/run-cli.ts';
import { hashed, machineFolder } from '../support/site.ts';

async function commanding() {
  const folder = await machineFolder({
    'lab.yaml': `# The lab's\nuser: lab\npassword: "${await hashed('lab')}"\n`,
  });
  const token = (...args: readonly string[]) => runCli('token', ...args, '--machines', folder);
  const text = () => readFile(join(folder, 'lab.yaml'), 'utf8');
  const account = async () => readMachineFile(await text(), 'lab.yaml');
  return { token, text, account };
}

const DAY_MS = 24 * 60 * 60_000;

describe('metahub token', () => {
  test('create prints a token once and stores its hash, with the end of its life', async () => {
    const { token, text, account } = await commanding();
    const { stdout, stderr, status } = await token('create', 'lab', 'ci', '--repository', 'lab/*');
    expect(status).toBe(0);
    expect(stderr).toMatch(
      /^metahub: token ci of lab is valid until \d{4}-\d\d-\d\d; it is not shown again\n$/,
    );
    const [stored] = (await account()).tokens;
    expect(stored).toMatchObject({ name: 'ci', sha256: tokenHashOf(stdout.trim()), repositories: ['lab/*'] });
    const days = ((stored?.expiresMs ?? 0) - Date.now()) / DAY_MS;
    expect(days).toBeGreaterThan(89.9);
    expect(days).toBeLessThan(90.1);
    expect(await text()).not.toContain(stdout.trim());
    expect(await text()).toMatch(/^# The lab's\n/);
  });

  test('create --json prints the token with its account, name and end', async () => {
    const { token } = await commanding();
    const { stdout } = await token('create', 'lab', 'ci', '--expires', 'never', '--json');
    expect(JSON.parse(stdout)).toEqual({
      user: 'lab',
      name: 'ci',
      token: expect.stringMatching(/^metahub_/),
      expires: null,
    });
  });

  test('list shows valid and expired tokens by name, and never the text of a token', async () => {
    const { token } = await commanding();
    const { stdout: created } = await token('create', 'lab', 'ci', '--expires', 'never');
    await token('create', 'lab', 'brief', '--expires', '1ms', '--repository', 'lab/app');
    const { stdout } = await token('list');
    expect(stdout).toMatch(
      /^ACCOUNT {2}TOKEN +LOGIN AS +EXPIRES +MAY PULL +MAY PUSH\nlab +ci +any +never +as the account +no\n/,
    );
    expect(stdout).toMatch(/lab +brief +any +expired \d{4}-\d\d-\d\d +lab\/app +no\n$/);
    const json = await token('list', '--json');
    expect(JSON.parse(json.stdout)).toMatchObject([
      { user: 'lab', name: 'ci', state: 'valid', expires: null, repositories: null },
      { user: 'lab', name: 'brief', state: 'expired', repositories: ['lab/app'] },
    ]);
    for (const text of [created.trim(), tokenHashOf(created.trim()) ?? '']) {
      expect(stdout + json.stdout).not.toContain(text);
    }
  });

  test('revoke ends a token by its name', async () => {
    const { token, account } = await commanding();
    await token('create', 'lab', 'ci');
    await token('create', 'lab', 'other');
    expect(await token('revoke', 'lab', 'ci')).toMatchObject({
      status: 0,
      stdout: 'token ci of lab is revoked\n',
    });
    expect((await account()).tokens.map(({ name }) => name)).toEqual(['other']);
  });

  test.each([
    ['a second token of the name', ['create', 'lab', 'ci'], 1, 'there is a token ci already'],
    ['an account that does not exist', ['create', 'nobody', 'x'], 1, 'there is no account nobody'],
    ['an unclear time to live', ['create', 'lab', 'x', '--expires', 'soon'], 2, 'is not a time to live'],
    ['a time to live of nothing', ['create', 'lab', 'x', '--expires', '0s'], 2, 'is not a time to live'],
    ['a name with other characters', ['create', 'lab', 'a b'], 2, 'may contain letters'],
    ['a pattern that is none', ['create', 'lab', 'x', '--repository', '!a'], 2, 'is not a pattern'],
    ['a token that is not there', ['revoke', 'lab', 'x'], 1, 'there is no token x'],
  ])('refuses %s, and changes nothing', async (_, args, status, message) => {
    const { token, text } = await commanding();
    await token('create', 'lab', 'ci');
    const before = await text();
    const result = await token(...args);
    expect(result.stderr).toContain(message);
    expect(result.status).toBe(status);
    expect(await text()).toBe(before);
  });
});
