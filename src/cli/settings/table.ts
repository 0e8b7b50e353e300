import { join } from 'node:path';
import * as v from 'valibot';
import { formatDuration } from '../../lib/duration.ts';
import type { LogLevel } from '../../lib/log.ts';
import { choice, Text } from '../../lib/schema.ts';
import { AssumedFeatures } from '../../selection/feature-schema.ts';
import { type PolicyChanges, PolicyText } from '../../selection/policy-schema.ts';
import { type RepositoryPolicies, RepositoryPolicyMap, writtenPolicies } from './policies.ts';
import type { Setting } from './setting.ts';
import { LOGIN_SETTINGS, SHARED_SETTINGS } from './site-settings.ts';
import { defaultListen, homeDirectory } from './surroundings.ts';
import { type Upstreams, UpstreamsValue } from './upstreams.ts';
import {
  type CacheMode,
  CacheModeValue,
  CacheSize,
  Connections,
  DurationMs,
  formatCacheSize,
  formatListen,
  formatSwitch,
  Listen,
  type ListenAddress,
  Percent,
  Proxies,
  SiteUrl,
  Switch,
  TextList,
  WebhookUrl,
} from './values.ts';

/** The data directory of a user without a home directory: that of the service. */
const DATA_WITHOUT_HOME = '/var/cache/metahub';

/** systemd names the service's directory in a variable. The default for other users follows the XDG rules. */
function defaultData(): string {
  const ofService = process.env['CACHE_DIRECTORY'];
  if (ofService !== undefined && ofService !== '') return ofService.split(':', 1)[0] ?? ofService;
  const home = homeDirectory();
  const caches = process.env['XDG_CACHE_HOME'] || (home && join(home, '.cache'));
  return caches ? join(caches, 'metahub') : DATA_WITHOUT_HOME;
}

function setting<T>(definition: Setting<T>): Setting<T> {
  return definition;
}

/** How an image is looked up and judged: the settings of every command that asks a registry. */
export const LOOKUP_SETTINGS = {
  upstream: setting<Upstreams>({
    flags: '--upstream <name[=url]>',
    repeatable: true,
    help: 'a registry to use, and its URL: docker.io=https://mirror.example; a repeated name adds the endpoint to try next',
    fallback: () => new Map(),
    schema: UpstreamsValue,
  }),
  publicRegistries: setting<boolean>({
    flags: '--public-registries <on|off>',
    help: 'use the well-known public registries, besides those of --upstream',
    fallback: () => true,
    schema: Switch,
    format: formatSwitch,
  }),
  images: setting<string>({
    flags: '--images <dir>',
    help: 'the directory of virtual images (*.yml)',
    fallback: () => '/etc/metahub/images.d',
    schema: Text,
  }),
  catalog: setting<readonly string[]>({
    flags: '--catalog <name>',
    repeatable: true,
    help: 'use the image lists of this catalogue entry: tei, llama.cpp; repeatable',
    fallback: () => [],
    schema: TextList,
  }),
  catalogBaselines: setting<boolean>({
    flags: '--catalog-baselines <on|off>',
    help: 'apply the catalogue’s baselines: hardware that images need but do not state',
    fallback: () => true,
    schema: Switch,
    format: formatSwitch,
  }),
  profile: setting<string | undefined>({
    flags: '--profile <file>',
    help: 'choose for the host in this file (the output of detect --json), and do not detect this host',
    fallback: () => undefined,
    schema: Text,
  }),
  set: setting<readonly string[]>({
    flags: '--set <feature>',
    repeatable: true,
    help: 'a feature that replaces all detected features of its kind: cpu:broadwell, nvcap:9.0; repeatable',
    fallback: () => [],
    schema: AssumedFeatures,
  }),
  policy: setting<PolicyChanges>({
    help: 'how entries are chosen, for all repositories',
    fallback: () => ({}),
    schema: PolicyText,
  }),
  repositories: setting<RepositoryPolicies>({
    help: 'policies by repository pattern, strongest first',
    fallback: () => new Map(),
    schema: RepositoryPolicyMap,
    format: writtenPolicies,
  }),
  match: setting<'best' | 'exact'>({
    flags: '--match <best|exact>',
    help: 'best: choose the best entry that the host can run; exact: choose only an entry whose features equal the host’s',
    fallback: () => 'best',
    schema: choice('best', 'exact'),
  }),
  answer: setting<'auto' | 'index' | 'manifest'>({
    flags: '--answer <auto|index|manifest>',
    help: 'how to answer a tag; index: with a derived index; manifest: with the chosen entry itself; auto: by what the client accepts',
    fallback: () => 'auto',
    schema: choice('auto', 'index', 'manifest'),
  }),
  onNoMatch: setting<'refuse' | 'upstream'>({
    flags: '--on-no-match <refuse|upstream>',
    help: 'what to do when the host can run no entry; refuse: answer with an error; upstream: serve the registry’s own index',
    fallback: () => 'refuse',
    schema: choice('refuse', 'upstream'),
  }),
} as const;

/** All settings of `metahub serve`. */
export const SERVE_SETTINGS = {
  listen: setting<ListenAddress>({
    flags: '--listen <host:port>',
    help: 'the address to listen on; the environment variable PORT sets only the port',
    fallback: () => v.parse(Listen, defaultListen(process.env)),
    schema: Listen,
    format: formatListen,
  }),
  name: setting<readonly string[]>({
    flags: '--name <host>',
    repeatable: true,
    help: 'a host name that clients use for this mirror, besides its addresses and localhost; repeatable',
    fallback: () => [],
    schema: TextList,
  }),
  data: setting<string>({
    flags: '--data <dir>',
    help: 'the directory for stored content and derived indexes',
    fallback: defaultData,
    schema: Text,
  }),
  cache: setting<CacheMode>({
    flags: '--cache <on|off|transit>',
    help: 'on: store what hosts pull; transit: keep layers until ten minutes after their last use; off: store only derived indexes',
    fallback: () => 'on',
    schema: CacheModeValue,
  }),
  cacheSize: setting<number | undefined>({
    flags: '--cache-size <size>',
    help: 'the size of the cache, for example 20GiB; auto: a tenth of the file system, at most 50GiB',
    fallback: () => undefined,
    schema: CacheSize,
    format: formatCacheSize,
  }),
  cacheMinFree: setting<number>({
    flags: '--cache-min-free <percent>',
    help: 'the percentage of the file system that the cache leaves free (default 15); 0: no limit',
    fallback: () => 15,
    schema: Percent,
  }),
  blobConnections: setting<number>({
    flags: '--blob-connections <number|off>',
    help: 'how many connections to a registry fetch ranges of large blobs in parallel (default 8); off: one connection for each blob',
    fallback: () => 8,
    schema: Connections,
    format: (count) => (count === 1 ? 'off' : String(count)),
  }),
  blobReader: setting<'raw' | 'standard'>({
    flags: '--blob-reader <raw|standard>',
    help: 'how to read blobs from registries; raw: into reused memory; standard: by the HTTP client of Node.js',
    fallback: () => 'raw' as const,
    schema: choice('raw', 'standard'),
  }),
  push: setting<boolean>({
    flags: '--push <on|off>',
    help: 'forward pushes to the registries; a site forwards only pushes of accounts that may push',
    fallback: () => false,
    schema: Switch,
    format: formatSwitch,
  }),
  tagMaxAge: setting<number>({
    flags: '--tag-max-age <duration>',
    help: 'how long to answer a tag without asking the registry again (default 5s)',
    fallback: () => 5000,
    schema: DurationMs,
    format: formatDuration,
  }),
  ...LOOKUP_SETTINGS,
  ownLogins: setting<'auto' | 'on' | 'off'>({
    flags: '--own-logins <auto|on|off>',
    help: 'pull with the logins stored on this machine; auto: use only those in /etc/metahub/auth.json, and none when other machines can reach the port',
    fallback: () => 'auto',
    schema: choice('auto', 'on', 'off'),
  }),
  machines: setting<string | undefined>({
    flags: '--machines <dir>',
    help: 'the directory of the accounts and machine types of a site; the login then tells which machine type asks',
    fallback: () => undefined,
    schema: Text,
  }),
  staticMachines: setting<boolean>({
    flags: '--static-machines <on|off>',
    help: 'serve the demonstration’s machine types qnib-type0 to qnib-type4',
    fallback: () => false,
    schema: Switch,
    format: formatSwitch,
  }),
  demoListenAnywhere: setting<boolean>({
    flags: '--demo-listen-anywhere <on|off>',
    help: 'accept these public logins also on addresses other than loopback',
    fallback: () => false,
    schema: Switch,
    format: formatSwitch,
  }),
  insecureLogins: setting<boolean>({
    flags: '--insecure-logins <on|off>',
    help: 'accept logins over plain HTTP on addresses other than loopback',
    fallback: () => false,
    schema: Switch,
    format: formatSwitch,
  }),
  siteUrl: setting<string | undefined>({
    flags: '--site-url <url>',
    help: 'the URL of this site for its clients: https://hub.example.org; without it, the URL that each client uses',
    fallback: () => undefined,
    schema: SiteUrl,
  }),
  ...LOGIN_SETTINGS,
  proxies: setting<readonly string[]>({
    flags: '--proxies <address>',
    repeatable: true,
    help: 'the address or subnet of a reverse proxy whose X-Forwarded-For MetaHub trusts: 127.0.0.1; repeatable',
    fallback: () => [],
    schema: Proxies,
  }),
  tokenKey: setting<string | undefined>({
    flags: '--token-key <file>',
    help: 'the file with the key that signs tokens, the same for all replicas; without it, token.key in the data directory',
    fallback: () => undefined,
    schema: Text,
  }),
  ...SHARED_SETTINGS,
  tlsCert: setting<string | undefined>({
    flags: '--tls-cert <file>',
    help: 'serve HTTPS with this certificate (PEM)',
    fallback: () => undefined,
    schema: Text,
  }),
  tlsKey: setting<string | undefined>({
    flags: '--tls-key <file>',
    help: 'the certificate’s key (PEM)',
    fallback: () => undefined,
    schema: Text,
  }),
  gapWebhook: setting<string | undefined>({
    flags: '--gap-webhook <url>',
    help: 'the URL that receives an event for each new gap: a build that would fit a host better',
    fallback: () => undefined,
    schema: WebhookUrl,
  }),
  gapWebhookSecret: setting<string | undefined>({
    flags: '--gap-webhook-secret <file>',
    help: 'the file with the secrets that sign these events: whsec_BASE64',
    fallback: () => undefined,
    schema: Text,
  }),
  drainTimeout: setting<number>({
    flags: '--drain-timeout <duration>',
    help: 'how long running pulls may continue after SIGTERM (default 30s)',
    fallback: () => 30_000,
    schema: DurationMs,
    format: formatDuration,
  }),
  logLevel: setting<LogLevel>({
    flags: '--log-level <level>',
    help: 'log messages of this level and above it: error, warning, notice, info or debug',
    fallback: () => 'info',
    schema: choice('error', 'warning', 'notice', 'info', 'debug'),
  }),
  logFormat: setting<'auto' | 'json' | 'text'>({
    flags: '--log-format <auto|json|text>',
    help: 'auto: text on a terminal, JSON elsewhere',
    fallback: () => 'auto',
    schema: choice('auto', 'json', 'text'),
  }),
} as const;
