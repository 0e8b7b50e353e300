import type { HostProfile } from '../host/profile.ts';
import {
  BackgroundThread,
  startWorker,
  ThreadBusyError,
  ThreadFailedError,
} from '../lib/background-thread.ts';
import { type JsonBounds, shapeOf, USUAL_BOUNDS } from '../lib/bounded-json.ts';
import { parseManifestDocument } from '../oci/manifest.ts';
import { RegistryError } from '../oci/registry-error.ts';
import { answerFor } from '../selection/answer.ts';
import type { SelectionPolicy } from '../selection/policy.ts';
import type { ExtraDemands } from '../selection/select.ts';
import { type CachedDecision, toCachedDecision } from './decision-cache.ts';

/** A manifest that a tag leads to, and for which host and client an answer is to be found. Plain data: it may cross threads. */
export interface JudgeRequest {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
  readonly profile: HostProfile;
  readonly policy: SelectionPolicy;
  readonly acceptsIndex: boolean;
  readonly extra: ExtraDemands | undefined;
}

/** Parses a manifest and finds its answer. @throws {RegistryError} MANIFEST_INVALID */
export function judgeManifest(request: JudgeRequest): CachedDecision {
  const { bytes, mediaType, profile, policy, acceptsIndex, extra } = request;
  const document = parseManifestDocument(bytes, mediaType);
  return toCachedDecision(answerFor(document, profile, policy, { acceptsIndex, extra }), profile);
}

/** What the thread answers. */
export type JudgeReply =
  | { readonly kind: 'judged'; readonly decision: CachedDecision }
  | { readonly kind: 'refused'; readonly message: string }
  | { readonly kind: 'failed'; readonly message: string };

/** {@link judgeManifest} for the thread, where an error is an answer. */
export function replyTo(request: JudgeRequest): JudgeReply {
  try {
    return { kind: 'judged', decision: judgeManifest(request) };
  } catch (error) {
    const { message } = error as Error;
    return { kind: error instanceof RegistryError ? 'refused' : 'failed', message };
  }
}

/** Finds the answer for a manifest, on the event loop's thread or on one of its own. */
export interface Judge {
  /** @throws {RegistryError} MANIFEST_INVALID; UNAVAILABLE with 503 when too many large manifests wait. */
  judge(request: JudgeRequest): Promise<CachedDecision>;
  close(): Promise<void>;
}

/** About a hundred entries: a few milliseconds. A larger manifest would hold up every other request. */
const INLINE_BOUNDS: JsonBounds = { ...USUAL_BOUNDS, values: 2000 };
const INLINE_MAX_BYTES = 128 * 1024;
/** Manifests that wait for the thread, in bytes together. */
const WAITING_MAX_BYTES = 32 * 1024 * 1024;
/** Buffers cross threads as plain byte arrays. */
function withBuffers(decision: CachedDecision): CachedDecision {
  const revive = (value: unknown): unknown => {
    if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, revive(inner)]));
  };
  return { ...decision, outcome: revive(decision.outcome) as CachedDecision['outcome'] };
}

function decisionIn(reply: JudgeReply): CachedDecision {
  switch (reply.kind) {
    case 'judged':
      return withBuffers(reply.decision);
    case 'refused':
      throw new RegistryError('MANIFEST_INVALID', reply.message);
    case 'failed':
      throw new Error(reply.message);
  }
}

/** Small manifests are judged where they are, large ones on a thread: no publisher's index stalls other pulls. */
export function createJudge(): Judge {
  const thread = new BackgroundThread<JudgeRequest, JudgeReply>({
    start: (options) => startWorker('judge-worker', import.meta.url, options),
    waitingMaxBytes: WAITING_MAX_BYTES,
  });
  return {
    judge: async (request) => {
      const { length } = request.bytes;
      const isSmall =
        length <= INLINE_MAX_BYTES && shapeOf(request.bytes, INLINE_BOUNDS).values <= INLINE_BOUNDS.values;
      if (isSmall) return judgeManifest(request);
      return decisionIn(await thread.run(request, length).catch(throwAsRegistryError));
    },
    close: () => thread.close(),
  };
}

function throwAsRegistryError(error: unknown): never {
  if (error instanceof ThreadBusyError) {
    const headers = { 'retry-after': '1' };
    const message = 'this mirror is judging as many large manifests as it may';
    throw new RegistryError('UNAVAILABLE', message, { status: 503, headers });
  }
  if (!(error instanceof ThreadFailedError)) throw error;
  throw new RegistryError('MANIFEST_INVALID', `the manifest could not be judged: ${error.message}`);
}
