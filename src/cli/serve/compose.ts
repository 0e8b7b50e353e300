import type { HostProfile } from '../../host/profile.ts';
import { makeDirectory } from '../../lib/atomic-file.ts';
import type { Log } from '../../lib/log.ts';
import { sizeText } from '../../lib/text.ts';
import { cached, revokeRefused } from '../../mirror/cache.ts';
import { createConnectionTests } from '../../mirror/connection-tests.ts';
import { createDecisionCache } from '../../mirror/decision-cache.ts';
import { denyAnnotations } from '../../mirror/deny-annotations.ts';
import { DerivedSearch } from '../../mirror/derived-search.ts';
import { createJudge } from '../../mirror/judge.ts';
import { type TailoringDecision, tailored } from '../../mirror/tailored.ts';
import { virtual } from '../../mirror/virtual.ts';
import type { Repository, Tag } from '../../oci/reference.ts';
import type { Registry } from '../../oci/registry.ts';
import type { Metrics } from '../../server/metrics.ts';
import type { CacheUse, RegistryHealth } from '../../server/status-facts.ts';
import { defaultCacheBytes } from '../../store/disk-space.ts';
import { openStore } from '../../store/store.ts';
import type { Upstream } from '../../upstream/client.ts';
import { type OwnLogins, openUpstream } from '../open-upstream.ts';
import type { PolicyFor } from '../settings/policies.ts';
import { readRules } from '../settings/rules.ts';
import type { ResolvedSettings } from '../settings/setting.ts';
import type { SERVE_SETTINGS } from '../settings/table.ts';
import { UserError } from '../user-error.ts';
import { createForeignLog } from './decision-log.ts';
import { countCacheResults, createUpstreamMetrics, registerCacheSize } from './metrics.ts';

/** What no wait and no repair of the disk will change. */
const HOPELESS: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'EEXIST', 'ENAMETOOLONG']);

/**
 * Makes the data directory where it can be made. One that this user may not write, or whose disk is full or read-only,
 * is left to the store, which goes on without.
 * @throws {UserError} status 2 for a path at which there can be no directory.
 */
export async function makeDataDirectory(path: string): Promise<void> {
  try {
    await makeDirectory(path, 0o700);
  } catch (cause) {
    const { code = '' } = cause as NodeJS.ErrnoException;
    if (!HOPELESS.has(code)) return;
    throw new UserError(`there can be no directory ${path} (${code})`, {
      cause,
      nextStep: 'Name one where content may be kept: --data DIR.',
      exitStatus: 2,
    });
  }
}

export type ServeSettings = ResolvedSettings<typeof SERVE_SETTINGS>;

/** The registries of a mirror: one for each profile, over one cache and one upstream. */
export interface MirrorStack {
  registryFor(profile: HostProfile): Registry;
  /** The tags by which clients tested lately whether they use this mirror. */
  connectionTests(): readonly string[];
  /** How the registry of a source host meets a client that is to log in there itself (see upstream.ts). */
  challenge: Upstream['challenge'];
  /** Reads lists of images and policies again; on bad input nothing changes. @throws {UserError} */
  reload(settings: ServeSettings): Promise<void>;
  cacheUse(): CacheUse;
  registries(): readonly RegistryHealth[];
  /** A tag was pushed through this mirror: what it pointed to counts no more. */
  expireTag(repository: Repository, tag: Tag): void;
  /** Lines of the status page. */
  figures(): readonly (readonly [name: string, value: string])[];
  close(): Promise<void>;
}

export interface StackOptions {
  readonly log: Log;
  readonly pseudonym: string;
  readonly decided: (decision: TailoringDecision) => void;
  readonly metrics: Metrics;
  /** Called when a tag is seen to point elsewhere than a moment ago. */
  readonly onTagMoved?: ((repository: Repository, tag: Tag) => void) | undefined;
  /** May this user's stored logins be presented? They may when not said. */
  readonly ownLogins?: () => OwnLogins;
}

/** For how long `--cache transit` keeps a layer that nobody has used: a runtime asks again within minutes, or not at all. */
const TRANSIT_MS = 10 * 60_000;

/**
 * Builds `tailored(profile, virtual(lists, cached(store, upstream)))` from settings.
 * @throws {UserError}
 */
export async function buildMirrorStack(settings: ServeSettings, options: StackOptions): Promise<MirrorStack> {
  const { values } = settings;
  const { log, pseudonym, decided, metrics, onTagMoved, ownLogins = () => 'all' } = options;
  const results = countCacheResults(metrics);
  let rules = await readRules(settings);
  const foundForeign = createForeignLog({ log, metrics });
  await makeDataDirectory(values.data);
  const maxBytes = values.cacheSize ?? (await defaultCacheBytes(values.data));
  const store = await openStore({
    directory: values.data,
    maxBytes,
    minFreeShare: values.cacheMinFree / 100,
    ...(values.cache === 'transit' ? { blobMaxIdleMs: TRANSIT_MS } : {}),
    log,
    now: Date.now,
  });
  const upstream = openUpstream(values, { log, pseudonym, ownLogins });
  const now = () => performance.now();
  const upstreamMetrics = createUpstreamMetrics(metrics, now);
  registerCacheSize(metrics, { usedBytes: () => store.heldBytes, limitBytes: () => maxBytes });
  const memory = createDecisionCache();
  const judge = createJudge();
  const tests = createConnectionTests();
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
  // Bound late: a reload puts other policies in place.
  const policyFor: PolicyFor = (repository, tag) => rules.policyFor(repository, tag);
  const search = new DerivedSearch({ next: images, tagsOf: (repository) => store.tagsOf(repository), now });
  return {
    challenge: upstream.challenge,
    connectionTests: tests.requestedTags,
    registryFor: (profile) =>
      tests.watch(
        tailored({
          next: denyAnnotations(images, policyFor),
          profile,
          policyFor,
          derived: store.derived,
          decided,
          now,
          memory,
          judge,
          search,
          foundForeign,
        }),
      ),
    async reload(next) {
      rules = await readRules(next);
    },
    cacheUse: () => ({
      usedBytes: store.heldBytes,
      limitBytes: maxBytes,
      trouble: store.trouble,
      results: results.totals(),
    }),
    registries: upstreamMetrics.health,
    figures: () => [
      ['cache', values.cache === 'off' ? 'off' : `${values.cache}, up to ${sizeText(maxBytes)}`],
      ['lists of images', String(rules.lists.length)],
    ],
    expireTag: (repository, tag) => {
      if (cache) cache.expireTag(repository, tag);
      else onTagMoved?.(repository, tag);
    },
    async close() {
      await cache?.close();
      await judge.close();
      await upstream.close();
      await store.close();
    },
  };
}
