import { hostname } from 'node:os';
import { resolve } from 'node:path';
import * as v from 'valibot';
import { whyUnreadable } from '../../lib/config-error.ts';
import type { Log } from '../../lib/log.ts';
import { readTextFile } from '../../lib/regular-file.ts';
import type { SharedState } from '../../lib/shared-state.ts';
import {
  parseRepositoryName,
  parseSourceHost,
  parseTag,
  type Repository,
  repositoryAt,
  type Tag,
} from '../../oci/reference.ts';
import { replicaId, sharePeerDocuments } from '../../replicas/peer-documents.ts';
import { openRedisStore } from '../../replicas/redis.ts';
import { formatRedisAddress, type RedisAddress } from '../../replicas/redis-address.ts';
import { openSealedState } from '../../replicas/sealed-state.ts';
import { GAPS, type Gap } from '../../selection/gap-schema.ts';
import { PULL_VERDICTS, type RecentDecision } from '../../server/status-facts.ts';
import { loadTokenKey } from '../../site/token.ts';
import { UserError } from '../user-error.ts';
import type { MirrorStack, ServeSettings } from './compose.ts';
import { type DecisionLog, LATEST_MAX } from './decision-log.ts';
import { type GapRecord, mergeGaps } from './gap-record.ts';

type ServeValues = ServeSettings['values'];

async function readSecretFile(path: string, flag: string): Promise<string> {
  try {
    return (await readTextFile(path)).replace(/\r?\n$/, '');
  } catch (cause) {
    throw new UserError(`${flag} ${path}: ${whyUnreadable(cause)}`, {
      cause,
      nextStep: `Pass ${flag} a file that this user can read.`,
    });
  }
}

export interface ReplicaOptions {
  readonly log: Log;
  readonly onResult: (operation: string, result: string) => void;
}

/** The state that the replicas of this mirror share. */
export interface Replicas {
  readonly state: SharedState;
  /** Returns a log that shows the latest decisions of the other replicas, too. */
  decisions(own: DecisionLog): DecisionLog;
  /** Returns a record that includes the gaps of the other replicas. Each replica stores only its own gaps. */
  gaps(own: GapRecord): GapRecord;
  /** Expires tags that other replicas push. Returns the function that announces a tag that this replica pushes. */
  pushes(
    stack: Pick<MirrorStack, 'expireTag' | 'expireTags'>,
    forgetAnswers: () => void,
  ): (repository: Repository, tag: Tag) => Promise<void>;
}

/** @throws {UserError} for conflicting settings, or an unreadable file */
async function openState(
  { values, origins }: ServeSettings,
  address: RedisAddress,
  { log, onResult }: ReplicaOptions,
): Promise<SharedState> {
  const { sharedPassword, sharedCa, tokenKey } = values;
  if (tokenKey === undefined) {
    throw new UserError('replicas that share a Redis need a common key', {
      nextStep: 'Start all replicas with the same --token-key FILE, which seals what they share.',
      exitStatus: 2,
    });
  }
  if (origins.shared === 'flag' && address.password !== undefined) {
    throw new UserError('every user of this machine can read a password on the command line', {
      nextStep: 'Write the password to a file of mode 0600 and pass --shared-password FILE.',
      exitStatus: 2,
    });
  }
  const [password, ca, secret] = await Promise.all([
    sharedPassword === undefined ? undefined : readSecretFile(sharedPassword, '--shared-password'),
    sharedCa === undefined ? undefined : readSecretFile(sharedCa, '--shared-ca'),
    loadTokenKey(tokenKey),
  ]);
  return openSealedState({
    store: openRedisStore({ address, password, ca }),
    secret,
    place: formatRedisAddress(address),
    log,
    now: () => performance.now(),
    onResult,
  });
}

/** Returns the id of this replica. It stays the same over restarts. */
function ownId({ data }: ServeValues): string {
  return replicaId(hostname(), resolve(data));
}

const DECISIONS = v.array(
  v.object({
    at: v.pipe(v.string(), v.isoTimestamp(), v.toDate()),
    image: v.string(),
    verdict: v.picklist(PULL_VERDICTS),
    digest: v.string(),
    entry: v.optional(v.string()),
    reason: v.string(),
    notes: v.optional(v.array(v.string()), []),
  }),
);
const DECISIONS_MS = 2000;

function shareDecisions(own: DecisionLog, state: SharedState, values: ServeValues): DecisionLog {
  const peers = sharePeerDocuments<readonly RecentDecision[]>({
    ...{ state, name: 'decisions', schema: DECISIONS, replica: ownId(values), delayMs: DECISIONS_MS },
    own: () => (own.latest().length === 0 ? undefined : own.latest()),
  });
  own.onAdded(peers.publishSoon);
  return {
    startedAt: own.startedAt,
    record: (decision) => own.record(decision),
    recordFailures: (registry) => own.recordFailures(registry),
    totals: () => own.totals(),
    onAdded: (callback) => own.onAdded(callback),
    latest: () =>
      [...own.latest(), ...peers.others().flat()]
        .sort((one, other) => other.at.getTime() - one.at.getTime())
        .slice(0, LATEST_MAX),
  };
}

const GAPS_MS = 10_000;
/** Maximum number of gaps to share, those seen last. The size of a shared value is limited. */
const GAPS_MAX = 300;

function shareGaps(own: GapRecord, state: SharedState, values: ServeValues): GapRecord {
  const peers = sharePeerDocuments<{ readonly gaps: readonly Gap[] }>({
    ...{ state, name: 'gaps', schema: GAPS, replica: ownId(values), delayMs: GAPS_MS },
    own: () => (own.gaps().length === 0 ? undefined : { version: 1, gaps: own.gaps().slice(-GAPS_MAX) }),
  });
  return {
    announce: () => own.announce(),
    note: (decision) => {
      own.note(decision);
      peers.publishSoon();
    },
    gaps: () => mergeGaps([own.gaps(), ...peers.others().map(({ gaps }) => gaps)]),
    close: async () => {
      await peers.close();
      await own.close();
    },
  };
}

const PUSHED = v.object({ host: v.string(), name: v.string(), tag: v.string() });

function sharePushes(
  stack: Pick<MirrorStack, 'expireTag' | 'expireTags'>,
  state: SharedState,
  forgetAnswers: () => void,
): (repository: Repository, tag: Tag) => Promise<void> {
  state.subscribe('tag pushed', PUSHED, (pushed) => {
    const tag = parseTag(pushed.tag);
    const [host, name] = [parseSourceHost(pushed.host), parseRepositoryName(pushed.name)];
    if (host && name && tag) stack.expireTag(repositoryAt(host, name), tag);
  });
  state.onReturn(() => {
    stack.expireTags();
    forgetAnswers();
  });
  return ({ host, name }, tag) => state.publish('tag pushed', { host, name, tag });
}

/**
 * Joins the other replicas by the Redis of the settings. The start does not wait for the connection.
 * @throws {UserError}
 */
export async function openReplicas(
  settings: ServeSettings,
  address: RedisAddress,
  options: ReplicaOptions,
): Promise<Replicas> {
  const state = await openState(settings, address, options);
  return {
    state,
    decisions: (own) => shareDecisions(own, state, settings.values),
    gaps: (own) => shareGaps(own, state, settings.values),
    pushes: (stack, forgetAnswers) => sharePushes(stack, state, forgetAnswers),
  };
}
