import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createAccessToken } from '../../src/site/account.ts';
import { longestTurnMs } from '../support/loop-blocks.ts';
import { listenOnLoopback } from '../support/loopback.ts';
import { basic, hashed, machineFolder, openTestSite } from '../support/site.ts';
import { afterTest } from '../support/upstream.ts';

const TOKEN = createAccessToken();

async function listening() {
  const machines = await machineFolder({
    'chief.yaml': `# who manages\nuser: chief\npassword: "${await hashed('chief')}"\nmanagesMachines: true
tokens: [{ name: ci, sha256: "${TOKEN.sha256}" }]
types:
  - name: old # since 2019
    features: [cpu:broadwell]
  - name: own
    features: [cpu:zen4]
    password: "${await hashed('else')}"\n`,
    'night.yaml': `user: chief-of-night\npassword: "${await hashed('night')}"\n`,
    'guest.yaml': `user: guest\npassword: "${await hashed('guest')}"\n`,
  });
  const site = await openTestSite({ machines });
  const server = createServer((request, response) => {
    site.handlers.get(request.url?.split('?')[0] ?? '')?.(request, response);
  });
  const port = await listenOnLoopback(server);
  afterTest(() => new Promise((resolve) => server.close(resolve)));
  const url = `http://127.0.0.1:${port}/site/machines`;
  const ask = (method: string, authorization?: string, body?: unknown, query = '', headers = {}) =>
    fetch(`${url}${query}`, {
      method,
      headers: { ...headers, ...(authorization === undefined ? {} : { authorization }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  const post = (body: string) => fetch(url, { method: 'POST', headers: { authorization: CHIEF }, body });
  return { ...site, ask, post, machines };
}

const CHIEF = basic('chief', 'chief');

describe('/site/machines', () => {
  test('lists the machine types that the account’s own password opens', async () => {
    const { ask } = await listening();
    const answer = await ask('GET', CHIEF);
    expect(await answer.json()).toEqual({
      user: 'chief',
      types: [{ name: 'old', login: 'chief-old', features: ['cpu:broadwell'] }],
    });
    expect(answer.headers.get('cache-control')).toBe('no-store');
  });

  test('answers 409 with the next step while a YAML alias needs what would change', async () => {
    const { ask, machines, clock } = await listening();
    const file = join(machines, 'chief.yaml');
    const source = await readFile(file, 'utf8');
    const linked = `${source.replace('features: [cpu:broadwell]', 'features: &f [cpu:broadwell]')}  - { name: linked, features: *f }\n`;
    await writeFile(file, linked);
    clock.ms += 1000;
    const answer = await ask('DELETE', CHIEF, undefined, '?name=old');
    expect([answer.status, await answer.json()]).toEqual([
      409,
      {
        errors: [
          {
            code: 'UNSUPPORTED',
            message:
              'the alias *f still needs the part to change. Write out what the alias stands for in the file, then repeat the change.',
          },
        ],
      },
    ]);
    expect(await readFile(file, 'utf8')).toBe(linked);
  });

  test('refuses machine logins, wrong passwords and other methods', async () => {
    const { ask } = await listening();
    expect((await ask('GET')).status).toBe(401);
    expect((await ask('GET', basic('chief', 'wrong'))).status).toBe(401);
    expect((await ask('GET', basic('chief-old', 'chief'))).status).toBe(403);
    expect((await ask('PUT', CHIEF)).status).toBe(405);
  });

  test('lets an account add and remove its types, and their logins work a second later', async () => {
    const { ask, admit, featuresOf, clock, log } = await listening();
    const type = { name: 'new', features: ['cpu:zen4', 'nvcap:9.0'] };
    expect((await ask('POST', CHIEF, type)).status).toBe(201);
    clock.ms += 1000;
    expect(featuresOf(await admit(basic('chief-new', 'chief'), 'a/b'))).toEqual(type.features);
    expect((await ask('DELETE', CHIEF, undefined, '?name=new')).status).toBe(200);
    clock.ms += 1000;
    expect((await admit(basic('chief-new', 'chief'), 'a/b')).kind).toBe('refused');
    const trail = log.map(({ fields }) => fields['operation']);
    expect(trail).toContain('addMachineType');
    expect(trail).toContain('removeMachineType');
  });

  test.each([
    ['a name twice', '{"name": "harmless", "features": [], "name": "new"}'],
    ['a name twice, once escaped', '{"name": "harmless", "n\\u0061me": "new"}'],
    ['a name twice in a value that nobody reads', '{"name": "new", "x": {"a": 1, "a": 2}}'],
    ['too many levels', `{"name": "new", "x": ${'['.repeat(70)}${']'.repeat(70)}}`],
    ['no JSON', '{"name": "new"'],
  ])('refuses a type whose JSON has %s', async (_name, body) => {
    const { ask, post, clock } = await listening();
    const answer = await post(body);
    expect([answer.status, await answer.text()]).toEqual([400, expect.stringContaining('NAME_INVALID')]);
    clock.ms += 1000;
    const { types } = (await (await ask('GET', CHIEF)).json()) as { types: { name: string }[] };
    expect(types.map(({ name }) => name)).toEqual(['old']);
  });

  test('refuses changes by an account without managesMachines', async () => {
    const { ask, log } = await listening();
    expect((await ask('POST', basic('guest', 'guest'), { name: 'x', features: [] })).status).toBe(403);
    expect(log.at(-1)).toMatchObject({
      event: 'access-refused',
      fields: { who: 'guest', operation: 'addMachineType' },
    });
  });

  test.each([
    ['a type that is there', { name: 'old', features: [] }, 'there is a machine type old already'],
    [
      'an unknown microarchitecture',
      { name: 'x', features: ['cpu:foolake'] },
      'there is no microarchitecture “foolake”',
    ],
    [
      'a name that would leave the login’s grammar',
      { name: '../x', features: [] },
      '“../x” is not a name: it may contain',
    ],
    ['no type', ['x'], 'the body is not a machine type'],
    [
      'more features than any machine has',
      { name: 'x', features: Array.from({ length: 65 }, (_, at) => `site:${at}`) },
      'the body is not a machine type',
    ],
    [
      'another account’s login',
      { name: 'of-night', features: [] },
      'the login chief-of-night is taken already',
    ],
  ])('refuses %s, without naming files of the server', async (_, body, message) => {
    const { ask } = await listening();
    const answer = await ask('POST', CHIEF, body);
    expect(answer.status).toBe(400);
    const text = await answer.text();
    expect(text).toContain(message);
    expect(text).not.toContain('chief.yaml');
    expect(text).not.toContain('night.yaml');
  });

  test.each([{ origin: 'https://evil.example' }, { origin: 'null' }, { 'sec-fetch-site': 'cross-site' }])(
    'refuses changes by a web page (%j) with a login that the browser has stored',
    async (headers) => {
      const { ask, machines } = await listening();
      const before = await readFile(join(machines, 'chief.yaml'), 'utf8');
      expect((await ask('POST', CHIEF, { name: 'new', features: [] }, '', headers)).status).toBe(403);
      expect(await readFile(join(machines, 'chief.yaml'), 'utf8')).toBe(before);
    },
  );

  const NO_LOGIN = 'there is no such login, or the password is wrong';
  const OWN_LOGIN = 'log in as the account itself to see its machine types';
  test.each<[string, string, string | undefined, object | undefined, number, string, string]>([
    [
      'no login',
      'GET',
      undefined,
      undefined,
      401,
      'UNAUTHORIZED',
      'this site needs a login: send user name and password by HTTP Basic',
    ],
    ['a wrong password', 'GET', basic('chief', 'x'), undefined, 401, 'UNAUTHORIZED', NO_LOGIN],
    ['the login of a machine', 'GET', basic('chief-old', 'chief'), undefined, 403, 'DENIED', OWN_LOGIN],
    [
      'an account that manages no machines',
      'POST',
      basic('guest', 'guest'),
      { name: 'x' },
      403,
      'DENIED',
      'guest may not change machine types',
    ],
    ['another method', 'PUT', CHIEF, {}, 405, 'UNSUPPORTED', 'this path takes GET, POST and DELETE'],
    [
      'a body that is no type',
      'POST',
      CHIEF,
      { name: 7 },
      400,
      'NAME_INVALID',
      'the body is not a machine type: send {"name": "…", "features": ["cpu:zen4", …]}',
    ],
    [
      'a name that is there',
      'POST',
      CHIEF,
      { name: 'old' },
      400,
      'NAME_INVALID',
      'there is a machine type old already',
    ],
    [
      'no name to remove',
      'DELETE',
      CHIEF,
      undefined,
      400,
      'NAME_INVALID',
      'name the machine type to remove: DELETE /site/machines?name=NAME',
    ],
  ])(
    'answers %s with the code of the registry API, and why',
    async (_, method, login, body, status, code, message) => {
      const { ask } = await listening();
      const answer = await ask(method, login, body);
      expect([answer.status, await answer.json()]).toEqual([status, { errors: [{ code, message }] }]);
      expect(answer.headers.get('allow')).toBe(status === 405 ? 'GET, POST, DELETE' : null);
      expect(answer.headers.get('www-authenticate')).toBe(status === 401 ? 'Basic realm="metahub"' : null);
    },
  );

  test.each([
    ['a page', CHIEF, { origin: 'null' }, 'a web page may not change machine types'],
    ['an access token', basic('chief', TOKEN.text), {}, 'chief may not change machine types'],
  ])('answers a change by %s with 403, and why', async (_, login, headers, message) => {
    const { ask } = await listening();
    const answer = await ask('POST', login, { name: 'new' }, '', headers);
    expect([answer.status, await answer.json()]).toEqual([403, { errors: [{ code: 'DENIED', message }] }]);
  });

  test('answers changes with 503 while another machine file is invalid', async () => {
    const { ask, machines } = await listening();
    await writeFile(join(machines, 'guest.yaml'), 'user: [secret');
    const answer = await ask('POST', CHIEF, { name: 'new', features: [] });
    const text = await answer.text();
    expect([answer.status, JSON.parse(text)]).toMatchObject([503, { errors: [{ code: 'UNAVAILABLE' }] }]);
    expect(text).not.toMatch(/secret|guest/);
  });

  test.each([
    [499, 201, '{}'],
    [500, 403, '500 machine types'],
  ])('given %d types, answers the next one with %d', async (count, status, text) => {
    const { ask, machines, clock } = await listening();
    // The file has two of its own.
    const types = Array.from({ length: count - 2 }, (_, at) => `  - name: t${at}\n    features: []\n`);
    await appendFile(join(machines, 'chief.yaml'), types.join(''));
    clock.ms += 1000;
    const answer = await ask('POST', CHIEF, { name: 'more', features: [] });
    expect([answer.status, await answer.text()]).toEqual([status, expect.stringContaining(text)]);
  });
});

describe('an account with the maximum number of machine types', () => {
  test('is read and changed without blocking the event loop for 50 ms of CPU time', async () => {
    const { ask, machines, admit, clock } = await listening();
    const types = Array.from(
      { length: 498 },
      (_, at) => `  - { name: t${at}, features: [cpu:zen4, nvcap:9.0] }`,
    );
    const text = `user: many\npassword: "${await hashed('many')}"\nmanagesMachines: true\ntypes:\n${types.join('\n')}\n`;
    await writeFile(join(machines, 'many.yaml'), text);
    const many = basic('many', 'many');
    const read = async () => {
      clock.ms += 1500;
      expect((await admit(basic('many-t497', 'many'), 'a/b')).kind).toBe('admitted');
    };
    // The thread starts with the first, and passwords are remembered.
    await read();
    const change = async () =>
      expect((await ask('POST', many, { name: 'new', features: ['cpu:zen5'] })).status).toBe(201);
    expect(await longestTurnMs(change)).toBeLessThan(50);
    expect(await longestTurnMs(read)).toBeLessThan(50);
    expect(await readFile(join(machines, 'many.yaml'), 'utf8')).toContain('name: new');
  });
});
