import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createAccessToken, tokenHashOf } from '../../src/site/account.ts';
import { basic, hashed, machineFolder, openTestSite } from '../support/site.ts';

const CI = createAccessToken();
const OLD = createAccessToken();
const NARROW = createAccessToken();
const ONE = createAccessToken();

/** The test site's clock starts in November 2023. */
async function siteWithTokens() {
  const file = async (tokens: readonly string[], repositories = 'lab/*') =>
    `user: lab\npassword: "${await hashed('lab')}"\nrepositories: [${repositories}]\nmanagesMachines: true\ntypes:
  - {name: node, features: [cpu:zen4]}\ntokens: [${tokens.join(', ')}]\n`;
  const all = [
    `{name: ci, sha256: ${CI.sha256}, expires: 2023-12-01T00:00:00Z}`,
    `{name: old, sha256: ${OLD.sha256}, expires: 2023-11-01T00:00:00Z}`,
    `{name: narrow, sha256: ${NARROW.sha256}, repositories: ["**"]}`,
    `{name: one, sha256: ${ONE.sha256}, repositories: [lab/app]}`,
  ];
  const machines = await machineFolder({
    'lab.yaml': await file(all),
    'other.yaml': `user: other\npassword: "${await hashed('other')}"\n`,
  });
  const site = await openTestSite({ machines });
  const rewrite = async (tokens: readonly string[], repositories?: string) => {
    await writeFile(join(machines, 'lab.yaml'), await file(tokens, repositories));
    site.clock.ms += 1000;
  };
  /** The site's token service, asked with Basic credentials. */
  const bearerFor = (login: string, password: string, scope: string) =>
    new Promise<string>((resolve) => {
      const request = {
        method: 'GET',
        url: `/token?scope=${scope}`,
        headers: { authorization: basic(login, password) },
        socket: {},
      };
      const response = {
        once: () => {},
        writeHead: () => {},
        end: (body: Buffer) => resolve(`Bearer ${JSON.parse(body.toString()).token}`),
      };
      site.handlers.get('/token')?.(request as never, response as never);
    });
  return { ...site, all, rewrite, bearerFor };
}

const kindOf = (admission: { readonly kind: string }) => admission.kind;

describe('an access token', () => {
  test('opens the logins of its account in place of the password, without hashing', async () => {
    const { admit, featuresOf, gate } = await siteWithTokens();
    expect(featuresOf(await admit(basic('lab-node', CI.text), 'lab/app'))).toEqual(['cpu:zen4']);
    expect(kindOf(await admit(basic('lab', CI.text), 'lab/app'))).toBe('admitted');
    expect(featuresOf(await admit(basic('lab/cpu#zen3', CI.text), 'lab/app'))).toEqual(['cpu:zen3']);
    // The check needs no slow hash, so admission is synchronous.
    const headers = { authorization: basic('lab', CI.text) };
    expect(gate.admit({ headers, remoteAddress: '192.0.2.9' })).toMatchObject({ kind: 'admitted' });
  });

  test('opens no other account, and its hash or its text in capitals opens none at all', async () => {
    const { admit } = await siteWithTokens();
    expect(kindOf(await admit(basic('other', CI.text)))).toBe('refused');
    expect(kindOf(await admit(basic('lab', CI.sha256)))).toBe('refused');
    expect(kindOf(await admit(basic('lab', CI.text.toUpperCase())))).toBe('refused');
    expect(kindOf(await admit(basic('lab', createAccessToken().text)))).toBe('refused');
  });

  test('has no more rights than its account, and fewer when it names repositories', async () => {
    const { admit } = await siteWithTokens();
    expect(kindOf(await admit(basic('lab', NARROW.text), 'lab/app'))).toBe('admitted');
    expect(kindOf(await admit(basic('lab', NARROW.text), 'lab/other'))).toBe('admitted');
    // Its own pattern ** does not reach beyond the account's.
    expect(kindOf(await admit(basic('lab', NARROW.text), 'secret/app'))).toBe('refused');
    expect(kindOf(await admit(basic('lab', ONE.text), 'lab/app'))).toBe('admitted');
    expect(kindOf(await admit(basic('lab', ONE.text), 'lab/other'))).toBe('refused');
    expect(kindOf(await admit(basic('lab', ONE.text), 'secret/app'))).toBe('refused');
  });

  test('expires, and the refusal names the expiry', async () => {
    const { admit, clock } = await siteWithTokens();
    expect(await admit(basic('lab', OLD.text))).toMatchObject({
      kind: 'refused',
      error: { status: 401, message: expect.stringContaining('has expired') },
    });
    expect(kindOf(await admit(basic('lab', CI.text)))).toBe('admitted');
    clock.ms = Date.parse('2023-12-01T00:00:00Z');
    expect(kindOf(await admit(basic('lab', CI.text)))).toBe('refused');
  });

  test('ends within a second of its revocation, together with the bearer tokens that a client got with it', async () => {
    const { admit, all, rewrite, bearerFor } = await siteWithTokens();
    const bearer = await bearerFor('lab-node', CI.text, 'repository:lab/app:pull');
    expect(kindOf(await admit(bearer, 'lab/app'))).toBe('admitted');
    await rewrite(all.slice(1));
    expect(kindOf(await admit(bearer, 'lab/app'))).toBe('refused');
    expect(kindOf(await admit(basic('lab-node', CI.text), 'lab/app'))).toBe('refused');
  });

  test('does not open a repository that its account may no longer pull, even after earlier pulls', async () => {
    const { admit, all, rewrite, bearerFor } = await siteWithTokens();
    const bearer = await bearerFor('lab-node', CI.text, 'repository:lab/app:pull');
    for (let pull = 0; pull < 3; pull += 1) expect(kindOf(await admit(bearer, 'lab/app'))).toBe('admitted');
    await rewrite(all, 'lab/other');
    expect(kindOf(await admit(bearer, 'lab/app'))).toBe('refused');
  });

  test('does not revive bearer tokens of a former access token with its name', async () => {
    const { admit, rewrite, bearerFor } = await siteWithTokens();
    const bearer = await bearerFor('lab', CI.text, 'repository:lab/app:pull');
    const renewed = createAccessToken();
    await rewrite([`{name: ci, sha256: ${renewed.sha256}}`]);
    expect(kindOf(await admit(bearer, 'lab/app'))).toBe('refused');
    expect(kindOf(await admit(basic('lab', renewed.text), 'lab/app'))).toBe('admitted');
  });

  test('appears in the audit trail by name, never by value', async () => {
    const { admit, log } = await siteWithTokens();
    await admit(basic('lab', CI.text), 'lab/app');
    await admit(basic('lab', OLD.text), 'lab/app');
    expect(log.map(({ fields }) => fields['token'])).toContain('ci');
    expect(JSON.stringify(log)).not.toContain('metahub_');
    expect(JSON.stringify(log)).not.toContain(CI.sha256);
  });

  test('cannot change machine types, even of an account that manages them', async () => {
    const { handlers } = await siteWithTokens();
    const status = await new Promise<number>((resolve) => {
      const request = {
        method: 'POST',
        url: '/site/machines',
        headers: { authorization: basic('lab', CI.text) },
        socket: {},
      };
      const response = { once: () => {}, writeHead: (code: number) => resolve(code), end: () => {} };
      handlers.get('/site/machines')?.(request as never, response as never);
    });
    expect(status).toBe(403);
  });
});

test('tokenHashOf() recognises the exact form of an access token', () => {
  expect(tokenHashOf(CI.text)).toBe(CI.sha256);
  expect(tokenHashOf(`${CI.text}x`)).toBeUndefined();
  expect(tokenHashOf(CI.text.slice(0, -1))).toBeUndefined();
  expect(tokenHashOf(CI.text.replace('metahub_', ''))).toBeUndefined();
});

describe('access tokens with narrower rights', () => {
  test('share no content by digest alone, neither with their account nor with each other', async () => {
    const { admit } = await siteWithTokens();
    const partitions = [];
    for (const password of ['lab', CI.text, NARROW.text, ONE.text]) {
      const admission = await admit(basic('lab', password), 'lab/app');
      if (admission.kind !== 'admitted') throw new Error('refused');
      partitions.push([admission.access?.partition, admission.key]);
    }
    const [account, ci, everything, one] = partitions;
    // A token of the account's own rights sees what the account sees; so does one whose pattern is everything.
    expect(ci).toEqual(account);
    expect(everything).toEqual(account);
    expect(one?.[0]).toMatch(/^site-/);
    expect(one?.[0]).not.toBe(account?.[0]);
    expect(one?.[1]).not.toBe(account?.[1]);
  });
});
