import { readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { type AccessToken, type Account, type AccountIdentity, withToken } from '../../src/site/account.ts';
import { readMachineFile } from '../../src/site/machine-file.ts';
import { createTokenIssuer, type Grant, loadTokenKey, randomTokenKey } from '../../src/site/token.ts';
import { temporaryFolder } from '../support/folder.ts';
import { hashed } from '../support/site.ts';

const START_MS = 1_700_000_000_000;
const LIFETIME_MS = 300_000;

const CI: AccessToken = {
  name: 'ci',
  sha256: 'a'.repeat(43),
  expiresMs: undefined,
  repositories: undefined,
  push: true,
  type: undefined,
};

/** An issuer whose account `lab`, with the machine types `cpu` and `gpu`, has only this access token. */
async function issuerWith(first: AccessToken = CI) {
  const text = `user: lab\npassword: "${await hashed('lab')}"\ntypes:
  - { name: cpu, features: [cpu:zen4] }\n  - { name: gpu, features: [cpu:zen4, nvcap:9.0] }\n`;
  const written = readMachineFile(text, 'lab.yaml');
  let account: Account = { ...written, tokens: [first] };
  let clockMs = START_MS;
  const find = (login: string): AccountIdentity | undefined => {
    const { password } = account;
    const type = account.types.find((one) => one.login === login);
    if (type !== undefined) return { ...type, account };
    return login === account.user && password ? { login, account, features: [], password } : undefined;
  };
  const tokens = createTokenIssuer({ key: randomTokenKey(), find, now: () => clockMs });
  const issue = async (login: string, token?: AccessToken, grants: readonly Grant[] = []) => {
    const identity = find(login);
    if (identity === undefined) throw new Error(`no login ${login}`);
    const { text } = await tokens.issue(token === undefined ? identity : withToken(identity, token), grants);
    // From now on its signature is known.
    expect(await tokens.verify(text)).toMatchObject({
      kind: 'valid',
      identity: { login, ...(token && { token }) },
    });
    return text;
  };
  return {
    issue,
    isRemembered: (text: string) => tokens.recall(text) !== undefined,
    /** What both ways of verification say at this time after the start. */
    verdictsAt: async (afterMs: number, text: string) => {
      clockMs = START_MS + afterMs;
      const claims = tokens.recall(text);
      return [claims && tokens.judge(claims).kind, (await tokens.verify(text)).kind];
    },
    replace: (token: AccessToken) => {
      account = { ...account, tokens: [token] };
    },
    setPassword: async (password: string) => {
      const { password: changed } = readMachineFile(
        `user: lab\npassword: "${await hashed(password)}"\n`,
        'lab.yaml',
      );
      account = { ...account, password: changed };
    },
  };
}

test.each([
  ['valid', 'at the end of its lifetime', LIFETIME_MS],
  ['valid', 'within 5 s of the end, by which replicas’ clocks may differ', LIFETIME_MS + 4999],
  ['expired', '5 s after the end', LIFETIME_MS + 5000],
])('a bearer token is %s %s', async (verdict, _, afterMs) => {
  const { issue, verdictsAt } = await issuerWith();
  expect(await verdictsAt(afterMs, await issue('lab'))).toEqual([verdict, verdict]);
});

test.each([
  ['valid', 'a millisecond before its access token expires', 59_999],
  ['expired', 'when its access token expires', 60_000],
])('a bearer token is %s %s', async (verdict, _, afterMs) => {
  const token = { ...CI, expiresMs: START_MS + 60_000 };
  const { issue, verdictsAt } = await issuerWith(token);
  expect(await verdictsAt(afterMs, await issue('lab', token))).toEqual([verdict, verdict]);
});

test.each<[string, string, Partial<AccessToken>]>([
  ['valid', 'is as it was', {}],
  ['valid', 'has other repositories', { repositories: ['lab/*'] }],
  ['invalid', 'has another secret', { sha256: 'b'.repeat(43) }],
  ['invalid', 'has another name', { name: 'other' }],
  ['valid', 'is for this login only', { type: 'gpu' }],
  ['invalid', 'is for another login of the account', { type: 'cpu' }],
  ['invalid', 'is for a type that is gone', { type: 'none' }],
])('a bearer token is %s when its access token %s', async (verdict, _, change) => {
  const { issue, verdictsAt, replace } = await issuerWith();
  const text = await issue('lab-gpu', CI);
  replace({ ...CI, ...change });
  expect(await verdictsAt(0, text)).toEqual([verdict, verdict]);
});

test('a new password ends the bearer tokens of the former one, and not those of an access token', async () => {
  const { issue, verdictsAt, setPassword } = await issuerWith();
  const byPassword = await issue('lab');
  const byToken = await issue('lab', CI);
  await setPassword('another');
  expect(await verdictsAt(0, byPassword)).toEqual(['invalid', 'invalid']);
  expect(await verdictsAt(0, byToken)).toEqual(['valid', 'valid']);
});

test('tokens whose signature is known take up to 16 MiB, those used longest ago are verified again', async () => {
  const { issue, isRemembered } = await issuerWith();
  /** A token of a MiB, which counts twice: as text and as what it says. */
  const issueLarge = async (at: number) => {
    const grant: Grant = { type: 'repository', name: `${at}${'x'.repeat(780_000)}`, actions: ['pull'] };
    const text = await issue('lab', undefined, [grant]);
    expect(text.length).toBeGreaterThan(1_040_000);
    expect(text.length).toBeLessThan(2 ** 20 - 128);
    return text;
  };
  const texts: string[] = [];
  for (let at = 0; at < 8; at += 1) texts.push(await issueLarge(at));
  expect(texts.map(isRemembered)).toEqual(Array(8).fill(true));
  texts.push(await issueLarge(8));
  expect(texts.map(isRemembered)).toEqual([false, ...Array(8).fill(true)]);
});

test('replicas that start together make one key, which is the key of all', async () => {
  const path = join(temporaryFolder(), 'keys', 'token.key');
  const keys = await Promise.all(Array.from({ length: 16 }, () => loadTokenKey(path)));
  expect(new Set(keys.map((key) => Buffer.from(key).toString('base64'))).size).toBe(1);
  const { ino } = await stat(path);
  expect(await loadTokenKey(path)).toEqual(keys[0]);
  expect((await stat(path)).ino).toBe(ino);
  expect(await readdir(dirname(path))).toEqual(['token.key']);
});
