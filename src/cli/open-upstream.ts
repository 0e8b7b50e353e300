import { join } from 'node:path';
import type { Log } from '../lib/log.ts';
import { uniqueToken } from '../lib/unique-token.ts';
import type { PushForwarder } from '../oci/push.ts';
import type { Credentials } from '../upstream/auth/credentials.ts';
import {
  createKeychains,
  type LoginFiles,
  type OwnLogins,
  type StoredLogins,
} from '../upstream/auth/keychain.ts';
import {
  type Connection,
  type ConnectionOptions,
  connectTo,
  createUpstream,
  type UpstreamOptions,
} from '../upstream/client.ts';
import { proxyFromEnvironment } from '../upstream/net/dial.ts';
import { createResolvers } from '../upstream/net/resolver.ts';
import type { PushForwarderOptions } from '../upstream/push-forwarder.ts';
import type { Pusher } from '../upstream/pusher.ts';
import { type UpstreamSettings, upstreamAt } from '../upstream/settings.ts';
import { homeDirectory } from './settings/surroundings.ts';
import { allowedUpstreams, type Upstreams } from './settings/upstreams.ts';

interface UpstreamChoice {
  readonly upstream: Upstreams;
  readonly publicRegistries: boolean;
  /** Number of connections to a registry for large blobs; 1: each blob is one response. */
  readonly blobConnections?: number;
  /** The implementation that reads blobs from registries. */
  readonly blobReader?: 'raw' | 'standard';
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Returns where logins may be stored on this machine, the most specific first. */
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
    // A user's shell sets the variables for default paths; this variable is set for this process on purpose.
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

/** Creates a name for `Via` that no other mirror has, so that a mirror recognises only itself. */
export function newPseudonym(): string {
  return `metahub-${uniqueToken()}`;
}

interface Surroundings {
  readonly log: Log;
  readonly pseudonym: string;
  /** Which stored logins may be presented, read for every request that needs one. Absent: all. */
  readonly ownLogins?: { readonly usable: OwnLogins };
  /** The stored logins. Default: those of {@link storedLogins}. */
  readonly credentials?: Credentials | undefined;
  /** Monotonic milliseconds. */
  readonly now?: () => number;
}

/** The proxies and certificates of the environment, for all connections of this program. */
function surroundingNetwork(
  env: Environment,
  now: () => number = () => performance.now(),
): Omit<ConnectionOptions, 'resolve'> {
  const extra = env['NODE_EXTRA_CA_CERTS'];
  return {
    proxy: proxyFromEnvironment(env),
    certificateDirs: ['/etc/metahub/certs.d', '/etc/docker/certs.d', '/etc/containers/certs.d'],
    extraAuthorities: extra ? [extra] : [],
    now,
  };
}

/** Opens the connection to a registry, with the proxies, certificates and authorities of this environment. */
export function openConnectionTo(settings: UpstreamSettings, env: Environment = process.env): Connection {
  return connectTo(settings, { ...surroundingNetwork(env), resolve: createResolvers()() });
}

/** Opens a connection to a URL that a person named, in the same way as to a registry. */
export function openConnection(url: string, env: Environment = process.env): Connection {
  return openConnectionTo(upstreamAt(url), env);
}

/** Opens the logins that are stored on this machine. */
export function storedLogins(
  log: Log,
  own: { readonly usable: OwnLogins } = { usable: 'all' },
): StoredLogins {
  const warn = (message: string) => log('warning', 'credential-problem', message);
  return createKeychains({ ...loginFiles(process.env), own, warn });
}

/**
 * Returns how the registries that the settings allow are reached: with the stored logins, proxies and
 * certificates.
 */
function upstreamOptions(
  choice: UpstreamChoice,
  { log, pseudonym, now, ownLogins, credentials = storedLogins(log, ownLogins) }: Surroundings,
): UpstreamOptions {
  return {
    ...surroundingNetwork(process.env, now),
    allowed: allowedUpstreams(choice),
    credentials,
    pseudonym,
    ...(choice.blobConnections === undefined ? {} : { blobConnections: choice.blobConnections }),
    ...(choice.blobReader === undefined ? {} : { blobReader: choice.blobReader }),
    log,
  };
}

/** Opens the registries that the settings allow, to read from. */
export function openUpstream(choice: UpstreamChoice, surroundings: Surroundings) {
  return createUpstream(upstreamOptions(choice, surroundings));
}

/** Opens the same registries, to write to. */
export async function openPusher(choice: UpstreamChoice, surroundings: Surroundings): Promise<Pusher> {
  const { createPusher } = await import('../upstream/pusher.ts');
  return createPusher(upstreamOptions(choice, surroundings));
}

/** Opens the same registries, to forward pushes to. */
export async function openPushForwarder(
  choice: UpstreamChoice,
  surroundings: Surroundings,
  options: Pick<PushForwarderOptions, 'sealer' | 'onManifest'>,
): Promise<PushForwarder & { close(): Promise<void> }> {
  const { createPushForwarder } = await import('../upstream/push-forwarder.ts');
  return createPushForwarder({ ...upstreamOptions(choice, surroundings), wallClock: Date.now, ...options });
}
