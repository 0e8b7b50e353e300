import { writeFile } from 'node:fs/promises';
import type { IncomingHttpHeaders } from 'node:http';
import { join } from 'node:path';
import type { HostProfile } from '../../src/host/profile.ts';
import type { Repository } from '../../src/oci/reference.ts';
import type { Admission, Registry } from '../../src/oci/registry.ts';
import { hashPassword, type ScryptCost } from '../../src/site/password.ts';
import { openSite, type SiteOptions } from '../../src/site/site.ts';
import { randomTokenKey } from '../../src/site/token.ts';
import { temporaryFolder } from './folder.ts';
import { repository } from './upstream.ts';

const CHEAP: ScryptCost = { ln: 4, r: 8, p: 1 };

/** A directory of machine files, name -> content, removed after the test. */
export async function machineFolder(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = temporaryFolder();
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
  return folder;
}

/** The hash of `password` with minimal cost. */
export async function hashed(password: string): Promise<string> {
  return (await hashPassword(password, CHEAP)).text;
}

export function basic(login: string, password: string): string {
  return `Basic ${Buffer.from(`${login}:${password}`).toString('base64')}`;
}

interface Line {
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A site with a clock that only the test moves, a log, and registries that keep their profile. */
export async function openTestSite(options: Partial<SiteOptions> = {}) {
  const log: Line[] = [];
  const clock = { ms: 1_700_000_000_000 };
  const profiles = new Map<Registry, HostProfile>();
  const site = await openSite({
    machines: undefined,
    staticMachines: false,
    tokenKey: randomTokenKey(),
    tls: false,
    now: () => clock.ms,
    wallClock: () => clock.ms,
    passwordCost: CHEAP,
    log: (_level, event, _message, fields = {}) => log.push({ event, fields }),
    registryFor: (profile) => {
      // Only its identity matters here; its responses are tested elsewhere.
      const registry = {} as Registry;
      profiles.set(registry, profile);
      return registry;
    },
    ...options,
  });
  // Like the server: one object as long as the same target is requested.
  const repositories = new Map<string, Repository>();
  const repositoryOf = (name: string, host: string) => {
    const key = `${host}/${name}`;
    const known = repositories.get(key) ?? repository(name, host);
    repositories.set(key, known);
    return known;
  };
  const admit = async (
    authorization?: string,
    name?: string,
    headers: IncomingHttpHeaders = {},
    host?: string,
  ) =>
    site.gate.admit({
      headers: {
        host: 'hub.test:5080',
        ...(authorization === undefined ? {} : { authorization }),
        ...headers,
      },
      remoteAddress: '192.0.2.1',
      ...(name === undefined ? {} : { repository: repositoryOf(name, host ?? 'docker.io') }),
    });
  /** The features of the profile in an admission; undefined when it is refused. */
  const featuresOf = (admission: Admission) =>
    admission.kind === 'admitted' ? profiles.get(admission.registry)?.features : undefined;
  return { ...site, admit, featuresOf, log, clock };
}
