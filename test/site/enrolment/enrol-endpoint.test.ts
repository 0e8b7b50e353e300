import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createEnrolmentSecret } from '../../../src/site/account.ts';
import { readMachineFile } from '../../../src/site/machine-file.ts';
import { runCli } from '../../support/run-cli.ts';
import { basic, hashed } from '../../support/site.ts';
import { serveSite } from '../../support/site-server.ts';
import { dataDirectory } from '../../support/store.ts';

async function site() {
  const opened = await serveSite(
    {
      'qnib.yaml': `# ours
user: qnib
password: "${await hashed('qnib')}"
repositories: [qnib/*]
types:
  - { name: gpu, features: [cpu:zen4, nvcap:9.0], login: gpu-nodes }
  - { name: cpu, features: [cpu:zen4] }
`,
    },
    { wallClock: Date.now },
  );
  const machine = (...words: readonly string[]) => runCli('machine', ...words, '--machines', opened.machines);
  const enrolment = async (...words: readonly string[]) => {
    const { stdout, stderr, status } = await machine('enrol', 'qnib', 'gpu', ...words);
    expect(status, stderr).toBe(0);
    opened.clock.ms += 1000;
    return stdout.trim();
  };
  const enrol = (token: unknown) => opened.ask('/site/enrol', { method: 'POST', json: { token } });
  const given = async (answer: { json(): Promise<unknown> }) =>
    (await answer.json()) as { readonly login: string; readonly token: string };
  const file = () => readFile(join(opened.machines, 'qnib.yaml'), 'utf8');
  const reasons = () =>
    opened.log.flatMap(({ event, fields }) => (event === 'access-refused' ? [fields['reason']] : []));
  return { ...opened, machine, enrolment, enrol, given, file, reasons };
}

describe('an enrolment', () => {
  test('gives one machine a login and its own token, which opens that login only', async () => {
    const { enrolment, enrol, given, admit, featuresOf, file, log } = await site();
    const secret = await enrolment('--name', 'node17');
    expect(secret).toMatch(/^metahub_enrol_[\w-]{43}$/);
    const answer = await enrol(secret);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    const { login, token } = await given(answer);
    expect(login).toBe('gpu-nodes');
    const admission = await admit(basic(login, token), 'qnib/bench');
    expect(featuresOf(admission)).toEqual(expect.arrayContaining(['cpu:zen4', 'nvcap:9.0']));
    for (const other of ['qnib', 'qnib-cpu', 'qnib/cpu#zen4', 'gpu-nodes/cpu#zen4']) {
      expect((await admit(basic(other, token), 'qnib/bench')).kind, other).toBe('refused');
    }
    expect((await admit(basic(login, token), 'other/bench')).kind).toBe('refused');
    expect(await file()).toMatch(/^# ours\n/);
    expect(await file()).toContain('name: node17\n    sha256');
    expect(await file()).not.toContain(token);
    expect(log).toContainEqual({
      event: 'token-issued',
      fields: expect.objectContaining({
        who: 'gpu-nodes',
        account: 'qnib',
        token: 'node17',
        operation: 'enrol',
      }),
    });
    expect(JSON.stringify(log)).not.toContain(secret.slice(-20));
    expect(JSON.stringify(log)).not.toContain(token.slice(-20));
  });

  test('enrols one of many machines with the same secret', async () => {
    const { enrolment, enrol, reasons, file } = await site();
    const secret = await enrolment();
    expect(await file()).not.toContain(secret);
    const answers = await Promise.all(Array.from({ length: 5 }, () => enrol(secret)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 403, 403, 403, 403]);
    expect((await enrol(secret)).status).toBe(403);
    expect(reasons()).toEqual(Array(5).fill('unknown-enrolment'));
    expect(readMachineFile(await file(), 'qnib.yaml')).toMatchObject({
      enrolments: [],
      tokens: [{ type: 'gpu' }],
    });
  });

  test('expires', async () => {
    const { enrol, machines, file, reasons, clock } = await site();
    const { text, sha256 } = createEnrolmentSecret();
    const entry = `enrolments:\n  - { name: late, type: gpu, sha256: "${sha256}", expires: 2020-01-01T00:00:00Z }\n`;
    await writeFile(join(machines, 'qnib.yaml'), `${await file()}${entry}`);
    clock.ms += 1000;
    expect((await enrol(text)).status).toBe(403);
    expect(reasons()).toEqual(['expired-enrolment']);
    expect(await file()).toContain('name: late');
  });

  test.each([
    ['a millisecond before it expires', -1, 200, []],
    ['when it expires', 0, 403, ['expired-enrolment']],
  ])('that is used %s (%i ms) is answered with status %i', async (_, afterMs, status, expected) => {
    const { text, sha256 } = createEnrolmentSecret();
    const { ask, clock, log } = await serveSite({
      'lab.yaml': `user: lab\npassword: "${await hashed('lab')}"\ntypes: [{ name: gpu, features: [cpu:zen4] }]
enrolments: [{ name: n1, type: gpu, sha256: "${sha256}", expires: 2023-11-15T00:00:00Z }]\n`,
    });
    clock.ms = Date.parse('2023-11-15T00:00:00Z') + afterMs;
    expect((await ask('/site/enrol', { method: 'POST', json: { token: text } })).status).toBe(status);
    const refused = log.filter(({ event }) => event === 'access-refused');
    expect(refused.map(({ fields }) => fields['reason'])).toEqual(expected);
  });

  test.each([
    ['gpu', 'lab-gpu', 'cpu:zen4'],
    ['cpu', 'nodes', 'cpu:zen5'],
  ])('for the type %s opens its login %s', async (type, login, feature) => {
    const { text, sha256 } = createEnrolmentSecret();
    const { ask, admit, featuresOf } = await serveSite({
      'lab.yaml': `user: lab\npassword: "${await hashed('lab')}"\ntypes:
  - { name: gpu, features: [cpu:zen4] }
  - { name: cpu, features: [cpu:zen5], login: nodes }
enrolments: [{ name: n1, type: ${type}, sha256: "${sha256}", expires: 2023-11-15T00:00:00Z }]\n`,
    });
    const answer = await (await ask('/site/enrol', { method: 'POST', json: { token: text } })).json();
    expect(answer.login).toBe(login);
    expect(featuresOf(await admit(basic(login, answer.token), 'lab/bench'))).toContain(feature);
  });

  test.each([
    ['of an unknown secret', 'POST', { token: `metahub_enrol_${'A'.repeat(43)}` }, 403, 'DENIED'],
    ['of a cloud that the site does not know', 'POST', { gcp: 'x' }, 403, 'DENIED'],
    ['of another body', 'POST', { secret: 'x' }, 400, 'UNSUPPORTED'],
    ['by another method', 'PUT', undefined, 405, 'UNSUPPORTED'],
  ])('%s is refused with the code of the registry API', async (_, method, json, status, code) => {
    const { ask } = await site();
    const answer = await ask('/site/enrol', { method, json });
    expect([answer.status, await answer.json()]).toMatchObject([status, { errors: [{ code }] }]);
  });

  test.each([['metahub_enrol_'], [`metahub_enrol_${'A'.repeat(43)}`], ['qnib'], [''], [17], [null]])(
    'refuses the secret %j',
    async (token) => {
      const { enrol } = await site();
      expect([400, 403]).toContain((await enrol(token)).status);
    },
  );

  test('is refused, and stays usable, where a body names two secrets', async () => {
    const { enrolment, enrol, ask } = await site();
    const secret = await enrolment();
    for (const [one, other] of [
      ['x', secret],
      [secret, 'x'],
      [secret, secret],
    ]) {
      const body = `{"token": "${one}", "token": "${other}"}`;
      expect((await ask('/site/enrol', { method: 'POST', body })).status).toBe(400);
    }
    expect((await enrol(secret)).status).toBe(200);
  });

  test('has a secret that is not a password, and refuses the machine’s token as a secret', async () => {
    const { enrolment, enrol, given, admit } = await site();
    const secret = await enrolment();
    expect((await admit(basic('gpu-nodes', secret), 'qnib/bench')).kind).toBe('refused');
    const { token } = await given(await enrol(secret));
    expect((await enrol(token)).status).toBe(403);
  });

  test('limits the machine’s bearer tokens to its login, and ends them when its token is revoked', async () => {
    const { enrolment, enrol, given, ask, admit, machines, clock } = await site();
    const { login, token } = await given(await enrol(await enrolment('--name', 'node17')));
    const bearer = async (user: string) => {
      const answer = await ask('/token?service=metahub&scope=repository:qnib/bench:pull', {
        as: basic(user, token),
      });
      return answer.status === 200 ? `Bearer ${(await answer.json()).token}` : answer.status;
    };
    expect(await bearer('qnib')).toBe(401);
    const given_ = await bearer(login);
    expect((await admit(String(given_), 'qnib/bench')).kind).toBe('admitted');
    expect((await runCli('token', 'revoke', 'qnib', 'node17', '--machines', machines)).status).toBe(0);
    clock.ms += 1000;
    expect((await admit(String(given_), 'qnib/bench')).kind).toBe('refused');
    expect((await admit(basic(login, token), 'qnib/bench')).kind).toBe('refused');
  });

  test('can be revoked before its use, and replaces the token of a reinstalled machine', async () => {
    const { enrolment, enrol, given, machines, admit, clock } = await site();
    const first = await enrolment('--name', 'node17');
    expect((await runCli('token', 'revoke', 'qnib', 'node17', '--machines', machines)).status).toBe(0);
    clock.ms += 1000;
    expect((await enrol(first)).status).toBe(403);
    const before = await given(await enrol(await enrolment('--name', 'node17')));
    const after = await given(await enrol(await enrolment('--name', 'node17')));
    expect((await admit(basic('gpu-nodes', before.token), 'qnib/bench')).kind).toBe('refused');
    expect((await admit(basic('gpu-nodes', after.token), 'qnib/bench')).kind).toBe('admitted');
  });

  test('appears in metahub token list before and after its use', async () => {
    const { enrolment, enrol, machines } = await site();
    await enrol(await enrolment('--name', 'node17'));
    await enrolment('--name', 'node18');
    const { stdout } = await runCli('token', 'list', '--machines', machines);
    expect(stdout).toMatch(/^qnib +node17 +gpu +never /m);
    expect(stdout).toMatch(/^qnib +node18 \(not enrolled yet\) +gpu +20/m);
  });

  test.each([
    [['enrol', 'qnib', 'none'], 'there is no type none in this file', 2],
    [['enrol', 'nobody', 'gpu'], 'there is no account nobody', 1],
    [['enrol', 'qnib', 'gpu', '--expires', 'soon'], '“soon” is not a time to live', 2],
  ])('refuses metahub machine %j', async (words, why, expected) => {
    const { machine } = await site();
    const { stderr, status } = await machine(...words);
    expect(stderr).toContain(why);
    expect(status).toBe(expected);
  });
});

test('only an administrator creates an enrolment by the API', async () => {
  const { ask, enrol, machines, clock } = await site();
  await writeFile(
    join(machines, 'root.yaml'),
    `user: root\npassword: "${await hashed('root')}"\nrole: admin\n`,
  );
  clock.ms += 1000;
  const path = '/api/v1/accounts/qnib/enrolments';
  const json = { name: 'node17', type: 'gpu' };
  expect((await ask(path, { as: 'qnib', method: 'POST', json })).status).toBe(403);
  const made = await ask(path, { as: 'root', method: 'POST', json });
  expect(made.status).toBe(201);
  expect((await enrol((await made.json()).token)).status).toBe(200);
  const tokens = await ask('/api/v1/tokens', { as: 'root' });
  expect(await tokens.json()).toMatchObject({ tokens: [{ name: 'node17', type: 'gpu' }] });
  const wrong = await ask(path, { as: 'root', method: 'POST', json: { ...json, type: 'none' } });
  expect(wrong.status).toBe(422);
});

describe('the API', () => {
  async function withRoot() {
    const opened = await site();
    const root = `user: root\npassword: "${await hashed('root')}"\nrole: admin\n`;
    await writeFile(join(opened.machines, 'root.yaml'), root);
    opened.clock.ms += 1000;
    const post = (what: 'tokens' | 'enrolments', json: object) =>
      opened.ask(`/api/v1/accounts/qnib/${what}`, { as: 'root', method: 'POST', json });
    return { ...opened, post };
  }

  test.each(['1970-01-01T00:00:00Z', '2020-01-01T00:00:00Z'])(
    'creates no token or enrolment that expires at %s',
    async (expires) => {
      const { post, file } = await withRoot();
      const before = await file();
      for (const answer of [
        await post('tokens', { name: 'late', expires }),
        await post('enrolments', { name: 'late', type: 'gpu', expires }),
      ]) {
        expect(answer.status).toBe(422);
        expect(await answer.json()).toMatchObject({
          code: 'invalid-body',
          errors: [{ pointer: '/expires', code: 'invalid-value' }],
        });
      }
      expect(await file()).toBe(before);
    },
  );

  test('counts tokens and enrolments together, up to 500', async () => {
    const { post, file, machines, clock } = await withRoot();
    const entry = (at: number, more = '') =>
      `  - { name: n${at}, sha256: "${String(at).padStart(43, '0')}"${more} }\n`;
    const tokens = Array.from({ length: 499 }, (_, at) => entry(at)).join('');
    const enrolments = entry(499, ', type: gpu, expires: 2100-01-01T00:00:00Z');
    await writeFile(
      join(machines, 'qnib.yaml'),
      `${await file()}tokens:\n${tokens}enrolments:\n${enrolments}`,
    );
    clock.ms += 1000;
    for (const answer of [
      await post('tokens', { name: 'more' }),
      await post('enrolments', { name: 'more', type: 'gpu' }),
    ]) {
      expect(answer.status).toBe(409);
      expect((await answer.json()).code).toBe('limit');
    }
    expect((await post('enrolments', { name: 'n499', type: 'gpu' })).status).toBe(201);
  });
});

describe('metahub login --enrol', () => {
  test('stores the machine’s login beside others, readable only for the owner', async () => {
    const { enrolment, admit, url } = await site();
    const authFile = join(await dataDirectory(), 'metahub', 'auth.json');
    const words = ['login', url, '--runtime', 'metahub', '--auth-file', authFile];
    const { stdout, stderr, status } = await runCli(...words, '--enrol', await enrolment());
    expect(status, stderr).toBe(0);
    const { host } = new URL(url);
    expect(stdout).toBe(`metahub is logged in to ${host} as gpu-nodes\n`);
    expect((await stat(authFile)).mode & 0o777).toBe(0o600);
    const stored = JSON.parse(await readFile(authFile, 'utf8'));
    expect(Object.keys(stored.auths)).toEqual([host]);
    expect((await admit(`Basic ${stored.auths[host].auth}`, 'qnib/bench')).kind).toBe('admitted');
    await writeFile(
      authFile,
      JSON.stringify({ credHelpers: { a: 'b' }, auths: { 'r.example': { auth: 'x' } } }),
    );
    await runCli(...words, '--enrol', await enrolment());
    const merged = JSON.parse(await readFile(authFile, 'utf8'));
    expect(merged).toMatchObject({
      credHelpers: { a: 'b' },
      auths: { 'r.example': { auth: 'x' }, [host]: {} },
    });
  });

  test('uses no token when its file of logins has other content, and does not quote the content', async () => {
    const { enrolment, enrol, url } = await site();
    const secret = await enrolment();
    const authFile = join(await dataDirectory(), 'auth.json');
    await writeFile(authFile, '{"auth": YTpi}');
    const words = ['login', url, '--runtime', 'metahub', '--auth-file', authFile, '--enrol', secret];
    const { stderr, status } = await runCli(...words);
    expect(stderr).toBe(
      `metahub: ${authFile}: it is not a JSON object\n  Correct the file, or move it away.\n`,
    );
    expect(status).toBe(2);
    expect((await enrol(secret)).status).toBe(200);
  });

  test('reports a used token and stores nothing', async () => {
    const { enrolment, enrol, url } = await site();
    const secret = await enrolment();
    await enrol(secret);
    const authFile = join(await dataDirectory(), 'auth.json');
    const { stderr, status } = await runCli(
      'login',
      url,
      '--runtime',
      'metahub',
      '--auth-file',
      authFile,
      '--enrol',
      secret,
    );
    expect(status).toBe(1);
    expect(stderr).toContain('does not know this enrolment, or it was used, or has expired');
    await expect(stat(authFile)).rejects.toThrow('ENOENT');
  });

  test('refuses two ways to log in', async () => {
    const { stderr, status } = await runCli('login', '127.0.0.1:1', '--user', 'a', '--enrol', 'x');
    expect(status).toBe(2);
    expect(stderr).toContain('--enrol TOKEN');
  });
});
