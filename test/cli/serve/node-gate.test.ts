import { expect, test } from 'vitest';
import { createNodeAdmission } from '../../../src/cli/serve/node-gate.ts';
import { createFakeRegistry } from '../../support/fake-registry.ts';
import { hostOf } from '../../support/host-of.ts';
import { repository } from '../../support/upstream.ts';

const app = repository('team/app');
const DOCKERD = 'docker/29.1.3 go/go1.25 git-commit/x kernel/6.12 os/linux arch/amd64';

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
