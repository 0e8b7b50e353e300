import { expect, test } from 'vitest';
import { createNodeAdmission } from '../../../src/cli/serve/node-gate.ts';
import { DOCKER_HUB, type Repository, type SourceHost } from '../../../src/oci/reference.ts';
import { RegistryError } from '../../../src/oci/registry-error.ts';
import { createFakeRegistry } from '../../support/fake-registry.ts';
import { hostOf } from '../../support/host-of.ts';
import { repository } from '../../support/upstream.ts';

const app = repository('team/app');
const DOCKERD = 'docker/29.1.3 go/go1.25 git-commit/x kernel/6.12 os/linux arch/amd64';

/** A gate with `passThrough` for one registry, whose clock and challenge the test sets. */
function gateFor(host: SourceHost) {
  const state = { ms: 0, challenge: undefined as string | undefined, asked: 0, isDown: false };
  const gate = createNodeAdmission({
    stack: {
      registryFor: createFakeRegistry,
      challenge: async () => {
        state.asked += 1;
        if (state.isDown) throw new RegistryError('UNAVAILABLE', 'it does not answer');
        return state.challenge;
      },
    },
    profile: hostOf('cpu:broadwell'),
    passing: new Set([host]),
    onNoLogin: () => {},
    now: () => state.ms,
  });
  const admit = (of: Repository | undefined, authorization?: string) =>
    gate.admit({
      headers: authorization === undefined ? {} : { authorization },
      remoteAddress: '127.0.0.1',
      repository: of,
    });
  return { gate, state, admit };
}

test('a login reaches the registries of passThrough alone, each under its own name', async () => {
  const { admit } = gateFor(app.host);
  const [own, other, none] = await Promise.all([
    admit(app, 'Bearer one'),
    admit(repository('team/app', 'ghcr.io'), 'Bearer one'),
    admit(repository('team/app', 'ghcr.io')),
  ]);
  if (own.kind !== 'admitted' || other.kind !== 'admitted' || none.kind !== 'admitted')
    throw new Error('refused');
  expect(own.access?.credential?.authorizationFor(app.host)).toBe('Bearer one');
  expect(own.access?.credential?.authorizationFor('ghcr.io' as SourceHost)).toBeUndefined();
  expect(other.access).toBeUndefined();
  expect(other.key).toBe(none.key);
  expect(own.key).not.toBe(none.key);
});

test('the challenge of the registry is asked for again after five minutes, and each time when that failed', async () => {
  const { admit, state } = gateFor(DOCKER_HUB);
  state.isDown = true;
  for (const asked of [1, 2]) {
    expect((await admit(undefined)).kind).toBe('admitted');
    expect(state.asked).toBe(asked);
  }
  Object.assign(state, { isDown: false, asked: 0, challenge: 'Bearer realm="x"' });
  for (const [ms, asked] of [
    [0, 1],
    [5 * 60_000, 1],
    [5 * 60_000 + 1, 2],
  ] as const) {
    state.ms = ms;
    expect(await admit(undefined)).toMatchObject({
      kind: 'refused',
      error: { status: 401, headers: { 'www-authenticate': 'Bearer realm="x"' } },
    });
    expect(state.asked).toBe(asked);
  }
});

test('another profile of the host has another registry and another key', async () => {
  const { gate, admit } = gateFor(app.host);
  const before = await admit(app);
  gate.setProfile(hostOf('cpu:zen4'));
  const after = await admit(app);
  if (before.kind !== 'admitted' || after.kind !== 'admitted') throw new Error('refused');
  expect(after.key).not.toBe(before.key);
  expect(after.registry).not.toBe(before.registry);
});

/** The user agents that the admission of a mirror with `passThrough`, or without, reports. */
function admission({ passThrough = true } = {}) {
  const reported: string[] = [];
  const gate = createNodeAdmission({
    stack: { registryFor: createFakeRegistry, challenge: async () => undefined },
    profile: hostOf('cpu:broadwell'),
    passing: new Set(passThrough ? [app.host] : []),
    onNoLogin: (_, userAgent) => reported.push(userAgent),
    now: () => 0,
  });
  const admit = (userAgent: string, authorization?: string) =>
    gate.admit({
      headers: { 'user-agent': userAgent, ...(authorization === undefined ? {} : { authorization }) },
      remoteAddress: '127.0.0.1',
      repository: app,
    });
  return { admit, reported };
}

test.each(['containerd/1.7.24', `${DOCKERD} containerd-client/2.2.0 storage-driver/overlayfs`])(
  'fault 82: a client that shows no login: passThrough reports it once: %s',
  (userAgent) => {
    const { admit, reported } = admission();
    for (let time = 0; time < 3; time += 1) expect(admit(userAgent)).toMatchObject({ kind: 'admitted' });
    expect(reported).toEqual([userAgent]);
  },
);

test('passThrough does not report the classic store of dockerd, nor a client that brings its login', () => {
  const { admit, reported } = admission();
  admit(`${DOCKERD} UpstreamClient(Docker-Client/29.1.3 \\(linux\\))`);
  admit('containerd/1.7.24', 'Bearer token');
  expect(reported).toEqual([]);
});

test('the node gate reports no client without passThrough', () => {
  const { admit, reported } = admission({ passThrough: false });
  admit('containerd/1.7.24');
  expect(reported).toEqual([]);
});

test.each([
  ['passwords', 'Basic YW5uOm9uZQ==', 'Basic YW5uOnR3bw=='],
  ['tokens', 'Bearer one', 'Bearer two'],
  ['schemes', 'Basic YW5uOm9uZQ==', 'Bearer YW5uOm9uZQ=='],
  ['rights: a login and none', 'Bearer one', undefined],
])('clients of passThrough with different %s share neither content nor answers', async (_, one, two) => {
  const { admit } = admission();
  const [first, again, other] = await Promise.all([one, one, two].map((login) => admit(DOCKERD, login)));
  if (first?.kind !== 'admitted' || again?.kind !== 'admitted' || other?.kind !== 'admitted')
    throw new Error('refused');
  expect(first.access?.partition).toBeDefined();
  expect([again.key, again.access?.partition]).toEqual([first.key, first.access?.partition]);
  expect(other.key).not.toBe(first.key);
  expect(other.access?.partition).not.toBe(first.access?.partition);
  // The login itself is no part of what is written down.
  expect(`${first.key} ${first.access?.partition}`).not.toContain(one.split(' ')[1]);
});
