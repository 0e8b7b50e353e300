import { join } from 'node:path';
import * as v from 'valibot';
import type { LogLevel } from '../../lib/log.ts';
import { choice, Text } from '../../lib/schema.ts';
import { AssumedFeatures } from '../../selection/feature-schema.ts';
import { type PolicyChanges, PolicyText } from '../../selection/policy-schema.ts';
import { type RepositoryPolicies, RepositoryPolicyMap, writtenPolicies } from './policies.ts';
import type { Setting } from './setting.ts';
import { defaultListen, homeDirectory } from './surroundings.ts';
import { type Upstreams, UpstreamsValue } from './upstreams.ts';
import {
  type CacheMode,
  CacheModeValue,
  CacheSize,
  Connections,
  DurationMs,
  formatCacheSize,
  formatDuration,
  formatListen,
  formatSwitch,
  Listen,
  type ListenAddress,
  Percent,
  SiteUrl,
  Switch,
  TextList,
} from './values.ts';

/** Where a user without a home keeps content: the place of the service's. */
const DATA_WITHOUT_HOME = '/var/cache/metahub';

/** systemd names its folder for us; a user's own cache follows the XDG rules. */
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

/** How an image is looked up and judged: shared by every command that asks a registry. */
export const LOOKUP_SETTINGS = {
  upstream: setting<Upstreams>({
    flags: '--upstream <name[=url]>',
    repeatable: true,
    help: 'a registry that may be asked, and where: docker.io=https://mirror.example; again for a chain',
    fallback: () => new Map(),
    schema: UpstreamsValue,
  }),
  publicRegistries: setting<boolean>({
    flags: '--public-registries <on|off>',
    help: 'may the well-known public registries be asked besides those named as upstreams',
    fallback: () => true,
    schema: Switch,
    format: formatSwitch,
  }),
  images: setting<string>({
    flags: '--images <dir>',
    help: 'folder of virtual images (*.yml)',
    fallback: () => '/etc/metahub/images.d',
    schema: Text,
  }),
  catalog: setting<readonly string[]>({
    flags: '--catalog <name>',
    repeatable: true,
    help: 'an entry of the catalogue whose lists of images are used: tei, llama.cpp; again for more',
    fallback: () => [],
    schema: TextList,
  }),
  catalogBaselines: setting<boolean>({
    flags: '--catalog-baselines <on|off>',
    help: 'heed what the catalogue knows of images that need more than they say',
    fallback: () => true,
    schema: Switch,
    format: formatSwitch,
  }),
  profile: setting<string | undefined>({
    flags: '--profile <file>',
    help: 'serve for this host (the output of detect --json) instead of detecting',
    fallback: () => undefined,
    schema: Text,
  }),
  set: setting<readonly string[]>({
    flags: '--set <feature>',
    repeatable: true,
    help: 'a feature instead of what was detected of its kind: cpu:broadwell, nvcap:9.0',
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
    help: 'best: whatever this host runs; exact: entries whose features equal the host’s, as in 2019',
    fallback: () => 'best',
    schema: choice('best', 'exact'),
  }),
  answer: setting<'auto' | 'index' | 'manifest'>({
    flags: '--answer <auto|index|manifest>',
    help: 'what a tag is answered with: a derived index, or the chosen entry itself',
    fallback: () => 'auto',
    schema: choice('auto', 'index', 'manifest'),
  }),
  onNoMatch: setting<'refuse' | 'upstream'>({
    flags: '--on-no-match <refuse|upstream>',
    help: 'when no entry runs on this host: say so, or serve what upstream has',
    fallback: () => 'refuse',
    schema: choice('refuse', 'upstream'),
  }),
} as const;

/** Everything `metahub serve` can be told. */
export const SERVE_SETTINGS = {
  listen: setting<ListenAddress>({
    flags: '--listen <host:port>',
    help: 'where to listen; PORT in the environment is the port alone',
    fallback: () => v.parse(Listen, defaultListen(process.env)),
    schema: Listen,
    format: formatListen,
  }),
  name: setting<readonly string[]>({
    flags: '--name <host>',
    repeatable: true,
    help: 'a name that clients call this mirror by, besides its addresses and localhost',
    fallback: () => [],
    schema: TextList,
  }),
  data: setting<string>({
    flags: '--data <dir>',
    help: 'where content and derived answers are kept',
    fallback: defaultData,
    schema: Text,
  }),
  cache: setting<CacheMode>({
    flags: '--cache <on|off|transit>',
    help: 'keep what was pulled; transit: layers for ten minutes after their last use; off: derived answers only',
    fallback: () => 'on',
    schema: CacheModeValue,
  }),
  cacheSize: setting<number | undefined>({
    flags: '--cache-size <size>',
    help: 'how much to keep: 50GiB; auto: a tenth of the file system, at most 50GiB',
    fallback: () => undefined,
    schema: CacheSize,
    format: formatCacheSize,
  }),
  cacheMinFree: setting<number>({
    flags: '--cache-min-free <percent>',
    help: 'how much of the file system stays free, whoever fills the rest: 15; 0: nothing',
    fallback: () => 15,
    schema: Percent,
  }),
  blobConnections: setting<number>({
    flags: '--blob-connections <number|off>',
    help: 'connections per registry for large blobs, fetched as parallel ranges: 8; off: one for each blob',
    fallback: () => 8,
    schema: Connections,
    format: (count) => (count === 1 ? 'off' : String(count)),
  }),
  blobReader: setting<'raw' | 'standard'>({
    flags: '--blob-reader <raw|standard>',
    help: 'read blobs from registries into reused memory, or by Node’s own HTTP client: raw',
    fallback: () => 'raw' as const,
    schema: choice('raw', 'standard'),
  }),
  push: setting<boolean>({
    flags: '--push <on|off>',
    help: 'pass pushes on to the registries: at a site of accounts that may push, else of everybody who reaches the mirror',
    fallback: () => false,
    schema: Switch,
    format: formatSwitch,
  }),
  tagMaxAge: setting<number>({
    flags: '--tag-max-age <duration>',
    help: 'for how long a tag is believed without asking upstream: 5s',
    fallback: () => 5000,
    schema: DurationMs,
    format: formatDuration,
  }),
  ...LOOKUP_SETTINGS,
  ownLogins: setting<'auto' | 'on' | 'off'>({
    flags: '--own-logins <auto|on|off>',
    help: 'pull with the logins stored on this machine; auto: with those in /etc/metahub/auth.json, unless the port is open to a network',
    fallback: () => 'auto',
    schema: choice('auto', 'on', 'off'),
  }),
  machines: setting<string | undefined>({
    flags: '--machines <dir>',
    help: 'folder of machine types: choose by login, for a whole site',
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
    help: 'serve these well-known logins on other than loopback addresses, too',
    fallback: () => false,
    schema: Switch,
    format: formatSwitch,
  }),
  insecureLogins: setting<boolean>({
    flags: '--insecure-logins <on|off>',
    help: 'take logins over plain HTTP on other than loopback addresses',
    fallback: () => false,
    schema: Switch,
    format: formatSwitch,
  }),
  siteUrl: setting<string | undefined>({
    flags: '--site-url <url>',
    help: 'where clients reach this site; else as they write it: https://hub.example.org',
    fallback: () => undefined,
    schema: SiteUrl,
  }),
  proxies: setting<readonly string[]>({
    flags: '--proxies <address>',
    repeatable: true,
    help: 'a proxy, or a subnet of them, whose X-Forwarded-For is trusted: 127.0.0.1',
    fallback: () => [],
    schema: TextList,
  }),
  tokenKey: setting<string | undefined>({
    flags: '--token-key <file>',
    help: 'the key that tokens are signed with, shared by replicas; else token.key beside the data',
    fallback: () => undefined,
    schema: Text,
  }),
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
  drainTimeout: setting<number>({
    flags: '--drain-timeout <duration>',
    help: 'how long running pulls may go on after SIGTERM: 30s',
    fallback: () => 30_000,
    schema: DurationMs,
    format: formatDuration,
  }),
  logLevel: setting<LogLevel>({
    flags: '--log-level <level>',
    help: 'error, warning, notice, info or debug',
    fallback: () => 'info',
    schema: choice('error', 'warning', 'notice', 'info', 'debug'),
  }),
  logFormat: setting<'auto' | 'json' | 'text'>({
    flags: '--log-format <auto|json|text>',
    help: 'auto: text on a terminal, else JSON',
    fallback: () => 'auto',
    schema: choice('auto', 'json', 'text'),
  }),
} as const;
