import { DOCKER_HUB } from '../../src/oci/reference.ts';
import { createMirrorServer } from '../../src/server/server.ts';
import { createFakeRegistry } from './fake-registry.ts';

// A process that serves on descriptor 3, and prints when it does.
const registry = createFakeRegistry();
const server = createMirrorServer({
  gate: { admit: () => ({ kind: 'admitted', registry, key: '' }) },
  log: () => {},
  pseudonym: 'metahub-test',
  defaultHost: DOCKER_HUB,
  isAllowedHost: () => false,
  filterReferrers: async () => undefined,
  status: () => ({ version: '0', startedAt: new Date(0), decisions: [], figures: [] }),
});
console.log(await server.listen({ fd: 3 }));
