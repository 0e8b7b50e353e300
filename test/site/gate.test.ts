import { chmod, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Registry } from '../../src/oci/registry.ts';
import { basic, hashed, machineFolder, openTestSite } from '../support/site.ts';
import { serveSite } from '../support/site-server.ts';
import { asNobody, CAN_DROP_PRIVILEGES } from '../support/unprivileged.ts';

async function siteOf(
  files: Readonly<Record<string, string>>,
  options: Parameters<typeof openTestSite>[0] = {},
) {
  const machines = await machineFolder(files);
  return { ...(await openTestSite({ machines, ...options })), machines };
}

function refusalOf(admission: Awaited<ReturnType<Awaited<ReturnType<typeof openTestSite>>['admit']>>) {
  if (admission.kind !== 'refused') throw new Error('it was admitted');
  return admission.error;
}

describe('the demonstration’s machine types', () => {
  test.each([
    ['qnib-type0', []],
    ['qnib-type1', ['cpu:broadwell']],
    ['qnib-type2', ['cpu:skylake']],
    ['qnib-type3', ['cpu:coffelake']],
    ['qnib-type4', ['cpu:broadwell', 'nvcap:5.2']],
  ])('%s logs in with its own name for a password and is a machine with %j', async (login, features) => {
    const { admit, featuresOf } = await openTestSite({ staticMachines: true });
    expect(featuresOf(await admit(basic(login, login), 'qnib/bench'))).toEqual(features);
  });

  test('exist only when the operator enables them', async () => {
    const { admit } = await openTestSite();
    expect(refusalOf(await admit(basic('qnib-type1', 'qnib-type1'))).status).toBe(401);
  });
});

describe('the view of a machine type', () => {
  test('is made by the first request that asks its registry, not by a login, and then kept', async () => {
    const views: Registry[] = [];
    const registryFor = () => {
      views.push({} as Registry);
      return views.at(-1) as Registry;
    };
    const { admit } = await openTestSite({ staticMachines: true, registryFor });
    const login = await admit(basic('qnib-type1', 'qnib-type1'));
    if (login.kind !== 'admitted') throw new Error('it was refused');
    expect(views).toEqual([]);
    expect(login.registry).toBe(views[0]);
    const pull = await admit(basic('qnib-type1', 'qnib-type1'), 'qnib/bench');
    expect(pull).toHaveProperty('registry', views[0]);
    expect(views).toHaveLength(1);
  });
});

test('the 512 views that were used last are kept, however many kinds of machines an account describes', async () => {
  let made = 0;
  const registryFor = () => {
    made += 1;
    return {} as Registry;
  };
  const lab = `user: lab\npassword: ${await hashed('lab')}\nrepositories: ['**']\n`;
  const { admit } = await siteOf({ 'lab.yaml': lab }, { registryFor });
  const view = async (rack: number) => {
    const admission = await admit(basic(`lab/rack#r${rack}`, 'lab'), 'lab/app');
    if (admission.kind !== 'admitted') throw new Error('it was refused');
    return admission.registry;
  };
  for (let rack = 0; rack < 512; rack += 1) await view(rack);
  await view(0);
  expect(made).toBe(512);
  await view(512);
  await view(0);
  expect(made).toBe(513);
  await view(1);
  expect(made).toBe(514);
});

describe('a request without valid credentials', () => {
  test('gets a challenge with the token service and the scope', async () => {
    const { admit } = await openTestSite({ staticMachines: true });
    const error = refusalOf(await admit(undefined, 'qnib/bench'));
    expect(error.status).toBe(401);
    expect(error.headers['www-authenticate']).toBe(
      'Bearer realm="http://hub.test:5080/token",service="metahub",scope="repository:qnib/bench:pull", Basic realm="metahub"',
    );
    expect(error.toJSON().errors[0].code).toBe('UNAUTHORIZED');
  });

  test('gets a challenge without a scope at the API’s root, for docker login', async () => {
    const { admit } = await openTestSite({ staticMachines: true });
    expect(refusalOf(await admit()).headers['www-authenticate']).toBe(
      'Bearer realm="http://hub.test:5080/token",service="metahub", Basic realm="metahub"',
    );
  });

  test.each([
    ['behind a proxy with a certificate', { 'x-forwarded-proto': 'https' }, 'https://hub.test:5080/token'],
    ['without the realm for an invalid Host', { host: 'a"b' }, undefined],
  ])('gets a challenge that names the site %s', async (_, headers, realm) => {
    const { admit } = await openTestSite({ staticMachines: true });
    const header = refusalOf(await admit(undefined, undefined, headers)).headers['www-authenticate'];
    expect(/realm="(h[^"]+)"/.exec(header ?? '')?.[1]).toBe(realm);
    expect(header).toContain('Basic realm="metahub"');
  });

  test.each([
    ['a wrong password', basic('qnib-type1', 'wrong')],
    ['an unknown login', basic('nobody', 'qnib-type1')],
    ['no base64', 'Basic !!!'],
    ['no colon', `Basic ${Buffer.from('qnib').toString('base64')}`],
    ['another scheme', 'Digest username="qnib-type1"'],
    ['a token of somebody else’s', 'Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJxbmliLXR5cGUxIn0.'],
  ])('with %s is refused with 401 and a challenge', async (_, authorization) => {
    const { admit } = await openTestSite({ staticMachines: true });
    const error = refusalOf(await admit(authorization, 'qnib/bench'));
    expect(error.status).toBe(401);
    expect(error.headers['www-authenticate']).toMatch(/^Bearer realm=.*, Basic realm="metahub"$/);
  });

  test('gets 429 with Retry-After after too many failures', async () => {
    const { admit, clock } = await openTestSite({
      staticMachines: true,
      limits: { failuresMax: 2, windowMs: 30_000 },
    });
    for (const guess of ['a', 'b']) await admit(basic('qnib-type1', guess));
    const error = refusalOf(await admit(basic('qnib-type1', 'qnib-type1')));
    expect([error.status, error.headers['retry-after']]).toEqual([429, '30']);
    clock.ms += 30_000;
    expect((await admit(basic('qnib-type1', 'qnib-type1'))).kind).toBe('admitted');
  });
});

describe('an account', () => {
  const LAB = async () => ({
    'lab.yaml': `user: lab\npassword: "${await hashed('lab')}"\nrepositories: [lab/*, "ghcr.io/lab/**"]\n`,
    'all.yaml': `user: all\npassword: "${await hashed('all')}"\n`,
  });

  test('pulls what its patterns match, and is denied the rest with 403', async () => {
    const { admit } = await siteOf(await LAB());
    expect((await admit(basic('lab', 'lab'), 'lab/solver')).kind).toBe('admitted');
    expect((await admit(basic('lab', 'lab'), 'lab/a/b', {}, 'ghcr.io')).kind).toBe('admitted');
    const error = refusalOf(await admit(basic('lab', 'lab'), 'other/solver'));
    expect([error.status, error.code]).toEqual([403, 'DENIED']);
    expect(error.message).toBe('lab may not pull docker.io/other/solver');
    expect((await admit(basic('all', 'all'), 'other/solver')).kind).toBe('admitted');
  });

  test('shares no content by digest with an account that has other patterns', async () => {
    const { admit } = await siteOf(await LAB());
    const [lab, all] = [await admit(basic('lab', 'lab'), 'lab/a'), await admit(basic('all', 'all'), 'lab/a')];
    if (lab.kind !== 'admitted' || all.kind !== 'admitted') throw new Error('refused');
    expect(lab.access?.partition).toMatch(/^site-/);
    expect(all.access).toBeUndefined();
    expect(lab.key).not.toBe(all.key);
  });

  test('describes its machine in the user name', async () => {
    const { admit, featuresOf } = await siteOf(await LAB());
    expect(featuresOf(await admit(basic('all/nvcap#9.0,cpu#zen4', 'all'), 'a/b'))).toEqual([
      'cpu:zen4',
      'nvcap:9.0',
    ]);
    expect(refusalOf(await admit(basic('all/cpu#zen99', 'all'), 'a/b')).status).toBe(401);
  });

  test('exists exactly as long as its file exists', async () => {
    const { admit, clock, machines } = await siteOf(await LAB());
    const late = join(machines, 'late.yaml');
    await writeFile(late, `user: late\npassword: "${await hashed('late')}"\n`);
    clock.ms += 1000;
    expect((await admit(basic('late', 'late'))).kind).toBe('admitted');
    await rm(late);
    clock.ms += 1000;
    expect((await admit(basic('late', 'late'))).kind).toBe('refused');
  });

  test.runIf(CAN_DROP_PRIVILEGES)('appears once its unreadable file becomes readable', async () => {
    const { admit, clock, machines, log } = await siteOf(await LAB());
    await chmod(machines, 0o755);
    await writeFile(join(machines, 'late.yaml'), `user: late\npassword: "${await hashed('late')}"\n`, {
      mode: 0o600,
    });
    clock.ms += 1000;
    await asNobody(async () => {
      expect((await admit(basic('late', 'late'))).kind).toBe('refused');
    });
    expect(log.filter(({ event }) => event === 'machines-not-reloaded')).toHaveLength(1);
    clock.ms += 1000;
    expect((await admit(basic('late', 'late'))).kind).toBe('admitted');
  });

  test('survives an error in another file, which the log reports', async () => {
    const { admit, clock, machines, log } = await siteOf(await LAB());
    await writeFile(join(machines, 'slip.yaml'), 'user: [');
    clock.ms += 1000;
    expect((await admit(basic('all', 'all'))).kind).toBe('admitted');
    expect(log.filter(({ event }) => event === 'machines-not-reloaded')).toHaveLength(1);
    clock.ms += 1000;
    await admit(basic('all', 'all'));
    expect(log.filter(({ event }) => event === 'machines-not-reloaded')).toHaveLength(1);
  });
});

describe('the audit trail', () => {
  test('has one line for each decision', async () => {
    const { admit, log } = await openTestSite({ staticMachines: true });
    await admit(basic('qnib-type1', 'qnib-type1'), 'qnib/bench');
    await admit(basic('qnib-type1', 'wrong'), 'qnib/bench');
    await admit(undefined, 'qnib/bench');
    expect(log).toEqual([
      {
        event: 'access-admitted',
        fields: {
          who: 'qnib-type1',
          account: 'qnib',
          features: 'cpu:broadwell',
          repository: 'docker.io/qnib/bench',
          address: '192.0.2.1',
        },
      },
      {
        event: 'access-refused',
        fields: {
          reason: 'wrong-credentials',
          who: 'qnib-type1',
          repository: 'docker.io/qnib/bench',
          address: '192.0.2.1',
        },
      },
      {
        event: 'access-refused',
        fields: {
          reason: 'no-credentials',
          who: undefined,
          repository: 'docker.io/qnib/bench',
          address: '192.0.2.1',
        },
      },
    ]);
  });

  test('names the address of each client of one token', async () => {
    const lab = `user: lab\npassword: ${await hashed('lab')}\nrepositories: ['**']\n`;
    const { admit, ask, log } = await serveSite({ 'lab.yaml': lab }, { proxies: ['192.0.2.1'] });
    const { token } = await (await ask('/token?scope=repository:lab/app:pull', { as: 'lab' })).json();
    const clients = ['203.0.113.1', '203.0.113.2'];
    for (const client of clients) await admit(`Bearer ${token}`, 'lab/app', { 'x-forwarded-for': client });
    const admitted = log.filter(({ event }) => event === 'access-admitted');
    expect(admitted.map(({ fields }) => fields['address'])).toEqual(clients);
  });

  test('never contains a password, an Authorization header or an unknown user name', async () => {
    const { admit, log } = await openTestSite({ staticMachines: true });
    await admit(basic('qnib-type1', 'p4ssw0rd'), 'qnib/bench');
    await admit(basic('p4ssw0rd', 'p4ssw0rd'), 'qnib/bench');
    await admit('Bearer p4ssw0rd', 'qnib/bench');
    const text = JSON.stringify(log);
    expect(log).toHaveLength(3);
    expect(text).not.toContain('p4ssw0rd');
    expect(text).not.toContain(Buffer.from('p4ssw0rd').toString('base64').slice(0, 8));
  });
});

describe('two hundred logins of twenty types at once', () => {
  const NODES = [
    'broadwell',
    'skylake',
    'zen',
    'zen2',
    'zen3',
    'zen4',
    'haswell',
    'ivybridge',
    'sandybridge',
    'icelake',
  ];
  const TYPES = NODES.flatMap((node) => [[`cpu:${node}`], [`cpu:${node}`, 'nvcap:9.0']]);

  test('each see their own profile, and share answers only with equal profiles and rights', async () => {
    const files: Record<string, string> = {};
    for (let account = 0; account < 10; account += 1) {
      const types = TYPES.map(
        (features, type) => `  - {name: t${type}, features: ${JSON.stringify(features)}}`,
      );
      const rights = account % 2 === 0 ? '' : `repositories: [lab${account}/*]\n`;
      files[`a${account}.yaml`] =
        `user: a${account}\npassword: "${await hashed(`a${account}`)}"\n${rights}types:\n${types.join('\n')}\n`;
    }
    const { admit, featuresOf } = await siteOf(files);
    const logins = Array.from({ length: 200 }, (_, at) => ({ account: at % 10, type: Math.floor(at / 10) }));
    const keys = new Map<string, string>();
    const round = async () => {
      const admissions = await Promise.all(
        logins.map(({ account, type }) =>
          admit(basic(`a${account}-t${type}`, `a${account}`), `lab${account}/x`),
        ),
      );
      for (const [at, { account, type }] of logins.entries()) {
        const admission = admissions[at];
        if (admission?.kind !== 'admitted') throw new Error(`a${account}-t${type} was refused`);
        expect(featuresOf(admission)).toEqual(TYPES[type]);
        const rights = account % 2 === 0 ? 'all' : `lab${account}`;
        const seen = keys.get(admission.key) ?? `${type} ${rights}`;
        expect(seen).toBe(`${type} ${rights}`);
        keys.set(admission.key, seen);
      }
    };
    await round();
    await round();
    // Twenty types for those who see everything, and for each of the five who do not.
    expect(keys.size).toBe(20 * 6);
  });
});
