import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { LRUCache } from 'lru-cache';
import type { Log } from '../lib/log.ts';
import type { PushForwarder } from '../oci/push.ts';
import { type Credentials, NO_CREDENTIALS } from '../upstream/auth/credentials.ts';
import { createKeychain } from '../upstream/auth/keychain.ts';
import {
  type Connection,
  type ConnectionOptions,
  connectTo,
  createUpstream,
  type UpstreamOptions,
} from '../upstream/client.ts';
import { proxyFromEnvironment } from '../upstream/net/proxy.ts';
import { createResolvers } from '../upstream/net/resolver.ts';
import type { PushForwarderOptions } from '../upstream/push-forwarder.ts';
import type { Pusher } from '../upstream/pusher.ts';
import { type UpstreamSettings, upstreamAt } from '../upstream/settings.ts';
import { homeDirectory } from './settings/surroundings.ts';
import { allowedUpstreams, type Upstreams } from './settings/upstreams.ts';

interface UpstreamChoice {
  readonly upstream: Upstreams;
  readonly publicRegistries: boolean;
  /** Connections per registry for large blobs; 1: one response for each blob. */
  readonly blobConnections?: number;
  /** How blobs are read from registries. */
  readonly blobReader?: 'raw' | 'standard';
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Which stored logins may be presented: all, only those given to the mirror itself, or none. */
export type OwnLogins = 'all' | 'given' | 'none';

/** Files in which logins are stored. */
export interface LoginFiles {
  /** Those that an operator gave to the mirror: by its folder, by systemd's credentials, or by name. */
  readonly given: readonly string[];
  /** Those of the user that it runs as. */
  readonly ofUser: readonly string[];
}

/** Where logins may be stored on this machine, the most specific first. */
export function loginFiles({
  CREDENTIALS_DIRECTORY,
  DOCKER_CONFIG,
  REGISTRY_AUTH_FILE,
  XDG_RUNTIME_DIR,
}: Environment): LoginFiles {
  const home = homeDirectory();
  const docker = DOCKER_CONFIG || (home && join(home, '.docker'));
  const given = [
    ...(CREDENTIALS_DIRECTORY ? [join(CREDENTIALS_DIRECTORY, 'auth.json')] : []),
    // A user's shell says where the user's own logins are by default paths; who names a file here means this process.
    ...(REGISTRY_AUTH_FILE ? [REGISTRY_AUTH_FILE] : []),
    '/etc/metahub/auth.json',
  ];
  const ofUser = [
    ...(docker ? [join(docker, 'config.json')] : []),
    ...(XDG_RUNTIME_DIR ? [join(XDG_RUNTIME_DIR, 'containers', 'auth.json')] : []),
    ...(home ? [join(home, '.config', 'containers', 'auth.json')] : []),
  ];
  return { given, ofUser };
}

/** A name in `Via` that no other mirror has, so that each recognises itself only. */
export function newPseudonym(): string {
  return `metahub-${randomBytes(6).toString('hex')}`;
}

/** This user's logins, or those of the file that a request's login brings: never one in the place of the other. */
function createCredentials(warn: (message: string) => void, usable: () => OwnLogins): Credentials {
  const { given, ofUser } = loginFiles(process.env);
  const own = {
    all: createKeychain({ files: [...given, ...ofUser], warn }),
    given: createKeychain({ files: given, warn }),
    none: NO_CREDENTIALS,
  };
  const brought = new LRUCache<string, Credentials>({ max: 256 });
  function broughtBy(file: string): Credentials {
    const known = brought.get(file) ?? createKeychain({ files: [file], warn });
    brought.set(file, known);
    return known;
  }
  return {
    loginFor: (registry, repository, signal, access) => {
      if (access?.logins !== undefined)
        return broughtBy(access.logins).loginFor(registry, repository, signal);
      return own[usable()].loginFor(registry, repository, signal);
    },
  };
}

interface Surroundings {
  readonly log: Log;
  readonly pseudonym: string;
  /** Which stored logins may be presented; looked at for every request that needs one, all when not said. */
  readonly ownLogins?: () => OwnLogins;
}

/** The proxies and certificates by which this program reaches anything. */
function surroundingNetwork(env: Environment): Omit<ConnectionOptions, 'resolve'> {
  const extra = env['NODE_EXTRA_CA_CERTS'];
  return {
    proxy: proxyFromEnvironment(env),
    certificateDirs: ['/etc/metahub/certs.d', '/etc/docker/certs.d', '/etc/containers/certs.d'],
    extraAuthorities: extra ? [extra] : [],
    now: () => performance.now(),
  };
}

/** The way to a registry, by the proxies, certificates and authorities of this environment. */
export function openConnectionTo(settings: UpstreamSettings, env: Environment = process.env): Connection {
  return connectTo(settings, { ...surroundingNetwork(env), resolve: createResolvers()() });
}

/** A connection to one URL that a person named, by the same way as a registry. */
export function openConnection(url: string, env: Environment = process.env): Connection {
  return openConnectionTo(upstreamAt(url), env);
}

/** How this user's stored logins, proxies and certificates reach the registries that the settings allow. */
function upstreamOptions(
  choice: UpstreamChoice,
  { log, pseudonym, ownLogins = () => 'all' }: Surroundings,
): UpstreamOptions {
  const allowed = allowedUpstreams(choice);
  return {
    ...surroundingNetwork(process.env),
    registryFor: (host) => allowed.get(host),
    credentials: createCredentials((message) => log('warning', 'credential-problem', message), ownLogins),
    pseudonym,
    ...(choice.blobConnections === undefined ? {} : { blobConnections: choice.blobConnections }),
    ...(choice.blobReader === undefined ? {} : { blobReader: choice.blobReader }),
    log,
  };
}

/** The registries that the settings allow, to read from. */
export function openUpstream(choice: UpstreamChoice, surroundings: Surroundings) {
  return createUpstream(upstreamOptions(choice, surroundings));
}

/** The same registries, to write to. */
export async function openPusher(choice: UpstreamChoice, surroundings: Surroundings): Promise<Pusher> {
  const { createPusher } = await import('../upstream/pusher.ts');
  return createPusher(upstreamOptions(choice, surroundings));
}

/** The same registries, to pass pushes on to. */
export async function openPushForwarder(
  choice: UpstreamChoice,
  surroundings: Surroundings,
  options: Pick<PushForwarderOptions, 'sealer' | 'onManifest'>,
): Promise<PushForwarder & { close(): Promise<void> }> {
  const { createPushForwarder } = await import('../upstream/push-forwarder.ts');
  return createPushForwarder({ ...upstreamOptions(choice, surroundings), wallClock: Date.now, ...options });
}
