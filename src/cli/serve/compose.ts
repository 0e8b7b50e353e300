import type { HostProfile } from '../../host/profile.ts';
import type { Log } from '../../lib/log.ts';
import type { SharedState } from '../../lib/shared-state.ts';
import { sizeText } from '../../lib/text.ts';
import { cached, revokeRefused } from '../../mirror/cache.ts';
import { ConnectionTests } from '../../mirror/connection-tests.ts';
import { createDecisionCache } from '../../mirror/decision-cache.ts';
import { denyAnnotations } from '../../mirror/deny-annotations.ts';
import { DerivedSearch } from '../../mirror/derived-search.ts';
import { readAside } from '../../mirror/documents/reading.ts';
import { type TailoringDecision, tailored } from '../../mirror/tailored.ts';
import { virtual } from '../../mirror/virtual.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Repository, Tag } from '../../oci/reference.ts';
import type { Registry } from '../../oci/registry.ts';
import { type IsIndex, sharedDerivedAnswers } from '../../replicas/derived-answers.ts';
import type { Metrics } from '../../server/metrics.ts';
import type { CacheUse, RegistryHealth } from '../../server/status-facts.ts';
import { defaultCacheBytes } from '../../store/disk.ts';
import { openStore } from '../../store/store.ts';
import type { Credentials } from '../../upstream/auth/credentials.ts';
import type { OwnLogins } from '../../upstream/auth/keychain.ts';
import type { Upstream } from '../../upstream/client.ts';
import { openUpstream } from '../open-upstream.ts';
import type { PolicyFor } from '../settings/policies.ts';
import { readRules } from '../settings/rules.ts';
import type { ResolvedSettings } from '../settings/setting.ts';
import type { SERVE_SETTINGS } from '../settings/table.ts';
import { makeDataDirectory } from './data-directory.ts';
import { createForeignLog } from './decision-log.ts';
import { countCacheResults, createUpstreamMetrics, registerCacheSize } from './metrics.ts';

export type ServeSettings = ResolvedSettings<typeof SERVE_SETTINGS>;

/** The registries of a mirror: one for each profile, all with the same cache and the same upstream. */
export interface MirrorStack {
  registryFor(profile: HostProfile): Registry;
  /** Returns the tags that clients recently requested to test whether they use this mirror. */
  connectionTests(): readonly string[];
  /**
   * The challenge of a source host's registry, for a client that must log in there itself (see
   * upstream/client.ts).
   */
  challenge: Upstream['challenge'];
  /** Reads lists of images and policies again. Changes nothing when one is invalid. @throws {UserError} */
  reload(settings: ServeSettings): Promise<void>;
  cacheUse(): CacheUse;
  /** True when a blob is stored, so that no registry is asked for it. Also after {@link close}. */
  isStored(digest: Digest): Promise<boolean>;
  registries(): readonly RegistryHealth[];
  /** Call it when a tag was pushed through this mirror: earlier answers for it are no longer valid. */
  expireTag(repository: Repository, tag: Tag): void;
  /** The same for all tags, when other replicas may have forwarded pushes. */
  expireTags(): void;
  /** Returns lines for the status page. */
  figures(): readonly (readonly [name: string, value: string])[];
  close(): Promise<void>;
}

export interface StackOptions {
  readonly log: Log;
  readonly pseudonym: string;
  readonly decided: (decision: TailoringDecision) => void;
  readonly metrics: Metrics;
  /** Called when a tag moves to another digest. */
  readonly onTagMoved?: ((repository: Repository, tag: Tag) => void) | undefined;
  /** The state that replicas share; undefined: there are no replicas. */
  readonly shared?: SharedState | undefined;
  /** Which stored logins may be used, read for every request. Default: all. */
  readonly ownLogins?: { readonly usable: OwnLogins };
  /** The stored logins. Default: those of this machine, read again when they change. */
  readonly credentials?: Credentials;
  /** Called when the data directory exists; returns the path of it from now on. */
  readonly enterData?: (directory: string) => string;
}

const isImageIndex: IsIndex = (source) => readAside('is an index', source, undefined);

/**
 * How long `--cache transit` keeps an unused layer, in milliseconds. A runtime requests it again within
 * minutes, or never.
 */
const TRANSIT_MS = 10 * 60_000;

async function openStoreOf(values: ServeSettings['values'], { log, enterData }: StackOptions) {
  await makeDataDirectory(values.data);
  const directory = enterData?.(values.data) ?? values.data;
  const maxBytes = values.cacheSize ?? (await defaultCacheBytes(directory));
  const store = await openStore({
    directory,
    maxBytes,
    minFreeShare: values.cacheMinFree / 100,
    ...(values.cache === 'transit' ? { blobMaxIdleMs: TRANSIT_MS } : {}),
    log,
    now: Date.now,
  });
  return { store, maxBytes };
}

/**
 * Builds `tailored(profile, virtual(lists, cached(store, upstream)))` from the settings.
 * @throws {UserError}
 */
export async function buildMirrorStack(settings: ServeSettings, options: StackOptions): Promise<MirrorStack> {
  const { values } = settings;
  const { log, decided, metrics, onTagMoved, shared } = options;
  const results = countCacheResults(metrics);
  let rules = await readRules(settings);
  const foundForeign = createForeignLog({ log, metrics });
  const { store, maxBytes } = await openStoreOf(values, options);
  const now = () => performance.now();
  const upstream = openUpstream(values, { ...options, now });
  const upstreamMetrics = createUpstreamMetrics(metrics, now);
  registerCacheSize(metrics, { usedBytes: () => store.heldBytes, limitBytes: () => maxBytes });
  const memory = createDecisionCache();
  const connectionTests = new ConnectionTests();
  const admitted = revokeRefused(upstreamMetrics.measured(upstream), store);
  const cache =
    values.cache !== 'off'
      ? cached({
          ...{ next: admitted, store, now, log, onTagMoved },
          tagMaxAgeMs: values.tagMaxAge,
          onResult: results.count,
        })
      : undefined;
  const content = cache ?? admitted;
  const images = virtual({
    next: content,
    catalog: () => rules.lists,
    history: store,
    now,
    onMissing: (list, { image, reason }) =>
      log('warning', 'list-member-missing', 'a member of a list is missing', { list, image, reason }),
  });
  // Looks up `rules` for each call, because a reload replaces them.
  const policyFor: PolicyFor = (repository, tag) => rules.policyFor(repository, tag);
  const derived = shared ? sharedDerivedAnswers(store.derived, shared, isImageIndex, now) : store.derived;
  const search = new DerivedSearch({ next: images, tagsOf: (repository) => store.tagsOf(repository), now });
  const next = denyAnnotations(images, policyFor);
  return {
    challenge: upstream.challenge,
    connectionTests: () => connectionTests.requestedTags(),
    registryFor: (profile) => {
      const ofMirror = { derived, memory, search, connectionTests, decided, foundForeign };
      return tailored({ ...ofMirror, next, profile, policyFor, now });
    },
    async reload(changed) {
      rules = await readRules(changed);
    },
    cacheUse: () => ({
      usedBytes: store.heldBytes,
      limitBytes: maxBytes,
      trouble: store.trouble,
      results: results.totals(),
    }),
    isStored: async (digest) => {
      const blob = await store.blob(digest);
      blob?.close();
      return blob !== undefined;
    },
    registries: upstreamMetrics.health,
    figures: () => [
      ['cache', values.cache === 'off' ? 'off' : `${values.cache}, up to ${sizeText(maxBytes)}`],
      ['lists of images', String(rules.lists.length)],
    ],
    expireTag: (repository, tag) => {
      if (cache) cache.expireTag(repository, tag);
      else onTagMoved?.(repository, tag);
    },
    expireTags: () => cache?.expireTags(),
    async close() {
      await cache?.close();
      await upstream.close();
      await store.close();
    },
  };
}
