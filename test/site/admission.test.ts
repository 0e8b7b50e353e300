import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { HostProfile } from '../../src/host/profile.ts';
import type { AccountIdentity } from '../../src/site/account.ts';
import type { Authenticate, KnownLogin } from '../../src/site/authenticate.ts';
import { createSiteAdmission } from '../../src/site/gate.ts';
import type { PullRecord } from '../../src/site/pull-record.ts';
import type { Grant } from '../../src/site/token.ts';
import { createFakeRegistry, type FakeRegistry } from '../support/fake-registry.ts';
import { ask, serve } from '../support/served.ts';
import { basic, hashed, machineFolder, openTestSite } from '../support/site.ts';
import { repository } from '../support/upstream.ts';

const PATH = '/v2/lab/app/manifests/latest';

/** A mirror whose answer for a tag may be repeated for a minute, and names the features that it was made for. */
function mirrorFor({ features }: HostProfile): FakeRegistry {
  const registry = createFakeRegistry();
  const annotations = { features: features.join(' ') };
  const lab = repository('lab/app', 'docker.io');
  registry.putManifest({ schemaVersion: 2, manifests: [], annotations }, { tag: 'latest', repository: lab });
  const { manifest } = registry;
  registry.manifest = async (...asked) => ({ ...(await manifest(...asked)), maxAgeMs: 60_000 });
  return registry;
}

/** A site behind a real server, with the registry of every view that it made. */
async function siteBehindServer() {
  const rights = 'repositories: [lab/*]\n';
  const typesOf = (features: string) => `types:\n  - {name: node, features: [${features}]}\n`;
  const account = async (user: string, rest: string) =>
    `user: ${user}\npassword: "${await hashed(user)}"\n${rest}`;
  const machines = await machineFolder({
    'one.yaml': await account('one', typesOf('cpu:zen4')),
    'two.yaml': await account('two', typesOf('cpu:skylake')),
    'lab.yaml': await account('lab', `${rights}${typesOf('cpu:zen4')}`),
    'other.yaml': await account('other', `repositories: [other/*]\n${typesOf('cpu:zen4')}`),
  });
  const views: FakeRegistry[] = [];
  const registryFor = (profile: HostProfile) => {
    const view = mirrorFor(profile);
    views.push(view);
    return view;
  };
  const site = await openTestSite({ machines, registryFor });
  const { port } = await serve({ gate: site.gate });
  const pull = async (login: string, path = PATH) => {
    const authorization = login === '' ? {} : { authorization: basic(login, login.split('-')[0] ?? '') };
    const { status, body } = await ask(port, path, { headers: authorization });
    return {
      status,
      features: status === 200 ? JSON.parse(body.toString()).annotations.features : undefined,
    };
  };
  const upstreamCount = () => views.reduce((sum, view) => sum + view.count(), 0);
  return { ...site, port, machines, pull, upstreamCount };
}

describe('the response cache in site mode', () => {
  test('repeats an answer to a verified login without another lookup in the mirror', async () => {
    const { pull, upstreamCount } = await siteBehindServer();
    for (let round = 0; round < 5; round += 1) {
      expect(await pull('one-node')).toEqual({ status: 200, features: 'cpu:zen4' });
    }
    expect(upstreamCount()).toBe(1);
  });

  test('answers each login for its own machine type, and refuses a login without the right', async () => {
    const { pull } = await siteBehindServer();
    for (let round = 0; round < 4; round += 1) {
      expect(await pull('one-node')).toEqual({ status: 200, features: 'cpu:zen4' });
      expect(await pull('two-node')).toEqual({ status: 200, features: 'cpu:skylake' });
      expect(await pull('lab-node')).toEqual({ status: 200, features: 'cpu:zen4' });
      expect(await pull('other-node')).toMatchObject({ status: 403 });
      expect(await pull('')).toMatchObject({ status: 401 });
      expect(await pull('nobody-node')).toMatchObject({ status: 401 });
    }
  });

  test('shares no answer between accounts with different rights, even for equal machines', async () => {
    const { pull, upstreamCount } = await siteBehindServer();
    await pull('one-node');
    await pull('lab-node');
    expect(upstreamCount()).toBe(2);
  });

  test('stops answering within a second of a changed password', async () => {
    const { pull, machines, clock } = await siteBehindServer();
    expect((await pull('one-node')).status).toBe(200);
    expect((await pull('one-node')).status).toBe(200);
    await writeFile(join(machines, 'one.yaml'), `user: one\npassword: "${await hashed('changed')}"\n`);
    clock.ms += 1000;
    expect((await pull('one-node')).status).toBe(401);
  });

  test('denies a repository within a second of its removal from the account', async () => {
    const { pull, machines, clock } = await siteBehindServer();
    for (let round = 0; round < 3; round += 1) expect((await pull('lab')).status).toBe(200);
    await writeFile(
      join(machines, 'lab.yaml'),
      `user: lab\npassword: "${await hashed('lab')}"\nrepositories: [b/*]\n`,
    );
    clock.ms += 1000;
    expect((await pull('lab')).status).toBe(403);
  });
});

describe('admission', () => {
  const NODE = basic('qnib-type1', 'qnib-type1');

  async function demo() {
    const site = await openTestSite({ staticMachines: true });
    const admit = (authorization: string, name = 'qnib/bench') =>
      site.gate.admit({
        headers: { authorization, host: 'hub.test' },
        remoteAddress: '192.0.2.1',
        repository: repository(name, 'docker.io'),
      });
    const tokenOf = async (scope: string) => {
      const chunks: string[] = [];
      await new Promise<void>((resolve) => {
        const response = {
          once: () => {},
          writeHead: () => {},
          end: (text: string) => resolve(void chunks.push(text)),
        };
        site.handlers.get('/token')?.(
          {
            method: 'GET',
            url: `/token?scope=repository:${scope}:pull`,
            headers: { authorization: NODE },
            socket: {},
          } as never,
          response as never,
        );
      });
      return `Bearer ${JSON.parse(chunks.join('')).token}`;
    };
    return { ...site, admit, tokenOf };
  }

  test('of a password is asynchronous once, and synchronous from then on', async () => {
    const { admit } = await demo();
    const first = admit(NODE);
    expect(first).toBeInstanceOf(Promise);
    await first;
    expect(admit(NODE)).toMatchObject({ kind: 'admitted', login: 'qnib-type1' });
  });

  test('of a bearer token is asynchronous once, synchronous from then on, and ends when the token expires', async () => {
    const { admit, tokenOf, clock, log } = await demo();
    const token = await tokenOf('qnib/bench');
    const first = admit(token);
    expect(first).toBeInstanceOf(Promise);
    expect(await first).toMatchObject({ kind: 'admitted' });
    expect(admit(token)).toMatchObject({ kind: 'admitted', login: 'qnib-type1' });
    // Verified or not, it opens only what it was given for.
    expect(admit(token, 'qnib/other')).toMatchObject({
      kind: 'refused',
      error: { status: 401, message: 'the token is for another repository: fetch another one' },
    });
    expect(log.at(-1)).toMatchObject({ event: 'access-refused', fields: { reason: 'other-scope' } });
    clock.ms += 306_000;
    expect(await admit(token)).toMatchObject({ kind: 'refused', error: { status: 401 } });
  });

  test('of a connection is each token’s own, however often the connection sends another', async () => {
    const { gate, admit, tokenOf, clock } = await demo();
    const [bench, other] = [await tokenOf('qnib/bench'), await tokenOf('qnib/other')];
    await Promise.all([admit(bench), admit(other, 'qnib/other')]);
    const connection = {};
    const onConnection = (authorization: string | undefined, name = 'qnib/bench') =>
      gate.admit({
        headers: { host: 'hub.test:5080', ...(authorization === undefined ? {} : { authorization }) },
        remoteAddress: '192.0.2.1',
        connection,
        repository: repository(name),
      });
    for (let round = 0; round < 3; round += 1) {
      expect(onConnection(bench)).toMatchObject({ kind: 'admitted', login: 'qnib-type1' });
      expect(onConnection(bench, 'qnib/other')).toMatchObject({ kind: 'refused', error: { status: 401 } });
      expect(onConnection(other, 'qnib/other')).toMatchObject({ kind: 'admitted' });
      expect(onConnection(undefined)).toMatchObject({ kind: 'refused', error: { status: 401 } });
      expect(await onConnection(`${bench}x`)).toMatchObject({ kind: 'refused', error: { status: 401 } });
    }
    expect(onConnection(bench)).toMatchObject({ kind: 'admitted' });
    clock.ms += 306_000;
    expect(await onConnection(bench)).toMatchObject({ kind: 'refused', error: { status: 401 } });
  });

  test('without credentials is refused synchronously', async () => {
    const { gate } = await demo();
    expect(gate.admit({ headers: {}, remoteAddress: '192.0.2.1' })).toMatchObject({ kind: 'refused' });
  });
});

describe('a token that has pulled a repository', () => {
  /** A gate to which all tokens are known, and how often it looks up the rights of a login. */
  function gateOf() {
    const looked: string[] = [];
    const noted: string[] = [];
    const trail: unknown[] = [];
    const identity = {
      login: 'lab-gpu',
      account: { user: 'lab' },
      features: [],
    } as unknown as AccountIdentity;
    const grants: readonly Grant[] = [{ type: 'repository', name: 'lab/app', actions: ['pull', 'push'] }];
    const tokens: Readonly<Record<string, KnownLogin>> = {
      token: { kind: 'known', identity, grants },
      other: { kind: 'known', identity, grants: [...grants] },
      // The account's file has changed.
      changed: { kind: 'known', identity: { ...identity }, grants },
      password: { kind: 'known', identity, grants: undefined },
    };
    const gate = createSiteAdmission({
      authenticate: { byHeaderNow: (header: string) => tokens[header] } as unknown as Authenticate,
      rightsOf: ({ login }) => {
        looked.push(login);
        return { mayPull: () => true, mayPush: () => true, access: undefined };
      },
      record: {
        hostAt: () => () => void noted.push('host'),
        answersTo: () => () => {},
      } as unknown as PullRecord,
      registryFor: () => expect.fail('not asked'),
      siteUrl: () => undefined,
      clientAddress: (address) => address ?? '',
      audit: (entry) => void trail.push(entry),
    });
    const [app, same] = [repository('lab/app', 'docker.io'), repository('lab/app', 'docker.io')];
    /** How often the gate looks up the rights for this request; one line of the audit trail each. */
    const lookups = (more: object = {}) => {
      const request = { headers: { authorization: 'token' }, remoteAddress: '192.0.2.1', repository: app };
      const before = [looked.length, trail.length, noted.length] as const;
      expect(gate.admit({ ...request, ...more })).toMatchObject({ kind: 'admitted', login: 'lab-gpu' });
      expect([trail.length - before[1], noted.length - before[2]]).toEqual([1, 1]);
      return looked.length - before[0];
    };
    return { lookups, same, trail };
  }
  const by = (authorization: string) => ({ headers: { authorization } });

  test('pulls it again without another look at its rights', () => {
    const { lookups, trail } = gateOf();
    // The rights are looked at for the answer, too, once for each login.
    expect([lookups(), lookups(), lookups()]).toEqual([2, 0, 0]);
    expect(trail[1]).toEqual(trail[0]);
    expect(trail[0]).toMatchObject({ decision: 'admitted', who: 'lab-gpu', address: '192.0.2.1' });
  });

  test.each<[string, (gate: ReturnType<typeof gateOf>) => object]>([
    ['a push', () => ({ action: 'push' })],
    ['a pull from another address', () => ({ remoteAddress: '192.0.2.2' })],
    ['a pull of a repository that was parsed anew', ({ same }) => ({ repository: same })],
    ['a pull by another token', () => by('other')],
    ['a pull by a password', () => by('password')],
  ])('has its rights looked at for %s', (_, request) => {
    const gate = gateOf();
    expect([gate.lookups(), gate.lookups()]).toEqual([2, 0]);
    expect(gate.lookups(request(gate))).toBe(1);
  });

  test('has its rights looked at when its account has changed, and each time for a push or a password', () => {
    const { lookups } = gateOf();
    expect([lookups(), lookups(by('changed')), lookups(by('changed'))]).toEqual([2, 2, 0]);
    const push = { action: 'push' };
    expect([lookups(push), lookups(push), lookups(by('password')), lookups(by('password'))]).toEqual([
      1, 1, 1, 1,
    ]);
  });
});
