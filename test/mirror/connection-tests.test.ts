import { expect, test } from 'vitest';
import { profileOfFeatures } from '../../src/host/assumed-features.ts';
import { ConnectionTests } from '../../src/mirror/connection-tests.ts';
import { tailored } from '../../src/mirror/tailored.ts';
import type { Registry } from '../../src/oci/registry.ts';
import { DEFAULT_POLICY } from '../../src/selection/policy.ts';
import { createFakeRegistry } from '../support/fake-registry.ts';
import { repository, tagged } from '../support/upstream.ts';

function watching(next: Registry) {
  const connectionTests = new ConnectionTests();
  const registry = tailored({
    next,
    connectionTests,
    profile: profileOfFeatures([]),
    policyFor: () => DEFAULT_POLICY,
    derived: { keep: async () => {}, find: async () => undefined },
    decided: () => {},
    now: () => 0,
  });
  return { tests: connectionTests, registry };
}

const doctor = repository('metahub/doctor', 'docker.io');

test('a tag of metahub/doctor is kept in memory and never requested upstream', async () => {
  const upstream = createFakeRegistry();
  const asked: string[] = [];
  upstream.before = () => void asked.push('upstream');
  const { tests, registry } = watching(upstream);
  await expect(registry.resolve(doctor, tagged('t1'))).rejects.toMatchObject({ code: 'MANIFEST_UNKNOWN' });
  await expect(registry.manifest(doctor, tagged('t2'))).rejects.toMatchObject({ code: 'MANIFEST_UNKNOWN' });
  expect(tests.requestedTags()).toEqual(['t1', 't2']);
  expect(asked).toEqual([]);
});

test('connection tests remember only the latest 64 tags', async () => {
  const { tests, registry } = watching(createFakeRegistry());
  for (let nth = 0; nth <= 64; nth += 1) {
    await registry.resolve(doctor, tagged(`t${nth}`)).catch(() => undefined);
  }
  expect(tests.requestedTags()).toHaveLength(64);
  expect(tests.requestedTags()).not.toContain('t0');
  expect(tests.requestedTags().at(-1)).toBe('t64');
});

test('a connection test leaves the responses for other repositories unchanged', async () => {
  const upstream = createFakeRegistry();
  const digest = upstream.putBlob(Buffer.from('layer'));
  const { registry } = watching(upstream);
  expect((await registry.statBlob(repository('team/app'), digest)).sizeBytes).toBe(5);
});
