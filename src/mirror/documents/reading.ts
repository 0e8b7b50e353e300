import type { HostProfile } from '../../host/profile.ts';
import {
  BackgroundThread,
  startWorker,
  ThreadBusyError,
  ThreadFailedError,
  type Turn,
} from '../../lib/background-thread.ts';
import { type JsonBounds, shapeOf, USUAL_BOUNDS } from '../../lib/json.ts';
import { parseManifestDocument } from '../../oci/manifest.ts';
import { RegistryError } from '../../oci/registry-error.ts';
import { answerFor } from '../../selection/answer.ts';
import type { SelectionPolicy } from '../../selection/policy.ts';
import type { ExtraDemands } from '../../selection/select.ts';
import { type CachedDecision, toCachedDecision } from '../decision-cache.ts';
import { readDeniedLabel, readEnvironment, readStatedPlatform } from './configuration.ts';
import { findDerivedForm, isFewForms, listDerivedForms, runsForm } from './derived.ts';
import { readMembers } from './members.ts';
import {
  isReadableIndex,
  listCandidates,
  listChildren,
  newestArtifact,
  readConfigDescriptor,
  readDenied,
  readSpecLayer,
  selectArtifacts,
} from './parts.ts';
import type { DocumentSource } from './source.ts';
import { isSmallSpec, readCompatibilitySets } from './specification.ts';

/** What a decision depends on besides the document. */
interface JudgeDetails {
  readonly profile: HostProfile;
  readonly policy: SelectionPolicy;
  readonly acceptsIndex: boolean;
  readonly extra: ExtraDemands | undefined;
}

/**
 * Parses the manifest of a tag and decides what to answer.
 * @throws {RegistryError} MANIFEST_INVALID
 */
export function judgeManifest(
  { bytes, mediaType }: DocumentSource,
  { profile, policy, acceptsIndex, extra }: JudgeDetails,
): CachedDecision {
  const document = parseManifestDocument(bytes, mediaType);
  return toCachedDecision(answerFor(document, profile, policy, { acceptsIndex, extra }), profile);
}

/** About a hundred entries, which take a few milliseconds. */
const QUICK_BOUNDS: JsonBounds = { ...USUAL_BOUNDS, values: 2000 };

function isReadQuickly(bytes: Uint8Array): boolean {
  return shapeOf(bytes, QUICK_BOUNDS).values <= QUICK_BOUNDS.values;
}

/**
 * All questions about a registry's document. Each is a function of its bytes, with plain data as arguments and
 * result, so that it can run on a thread. A running mirror parses stored documents nowhere else.
 */
const QUESTIONS = {
  'answer for a host': { read: judgeManifest, isQuick: isReadQuickly },
  candidates: { read: listCandidates },
  children: { read: listChildren },
  'compatibility sets': { read: readCompatibilitySets, isQuick: isSmallSpec },
  configuration: { read: readConfigDescriptor },
  'denied annotation': { read: readDenied },
  'denied label': { read: readDeniedLabel },
  'derived form': { read: findDerivedForm, isQuick: isFewForms },
  'derived forms': { read: listDerivedForms, isQuick: isFewForms },
  environment: { read: readEnvironment },
  'artifacts of a type': { read: selectArtifacts },
  'is an index': { read: isReadableIndex },
  members: { read: readMembers },
  'newest artifact': { read: newestArtifact },
  'runs on a host': { read: runsForm },
  specification: { read: readSpecLayer },
  'stated platform': { read: readStatedPlatform },
} as const;

type Question = keyof typeof QUESTIONS;
type ArgumentsOf<Asked extends Question> = Parameters<(typeof QUESTIONS)[Asked]['read']>[1];
type ContentOf<Asked extends Question> = Awaited<ReturnType<(typeof QUESTIONS)[Asked]['read']>>;

/** One question about a document. Plain data that can be sent to a thread. */
interface ReadingRequest {
  readonly question: Question;
  readonly bytes: Uint8Array;
  readonly mediaType: string;
  readonly details: unknown;
}

type ReadingReply =
  | { readonly kind: 'answered'; readonly content: unknown }
  | { readonly kind: 'refused'; readonly message: string }
  | { readonly kind: 'failed'; readonly message: string };

/** Larger documents are read on a thread, whatever the question: parsing them would delay all other requests. */
const INLINE_MAX_BYTES = 64 * 1024;
/** Limit of the documents that wait for the thread, in bytes. */
const WAITING_MAX_BYTES = 32 * 1024 * 1024;

const THREAD = new BackgroundThread<ReadingRequest, ReadingReply>({
  start: (options) => startWorker('reading-worker', import.meta.filename, options),
  waitingMaxBytes: WAITING_MAX_BYTES,
});

function contentOf({ question, bytes, mediaType, details }: ReadingRequest): unknown {
  const { read } = QUESTIONS[question];
  return read({ bytes, mediaType }, details as never);
}

/** Reads a document on the thread. Errors are returned as replies. */
export async function replyTo(request: ReadingRequest): Promise<ReadingReply> {
  try {
    return { kind: 'answered', content: await contentOf(request) };
  } catch (error) {
    const { message } = error as Error;
    return { kind: error instanceof RegistryError ? 'refused' : 'failed', message };
  }
}

/** True when the question can be answered on the event loop. */
function isQuick(question: Question, bytes: Uint8Array): boolean {
  if (bytes.length > INLINE_MAX_BYTES) return false;
  const { isQuick: mayBe } = QUESTIONS[question] as { isQuick?: (bytes: Uint8Array) => boolean };
  return mayBe?.(bytes) ?? true;
}

function throwAsRegistryError(error: unknown): never {
  if (error instanceof ThreadBusyError) {
    const headers = { 'retry-after': '1' };
    const message = 'this mirror already reads its maximum number of large documents';
    throw new RegistryError('UNAVAILABLE', message, { status: 503, headers });
  }
  if (!(error instanceof ThreadFailedError)) throw error;
  throw new RegistryError('MANIFEST_INVALID', `the document could not be read: ${error.message}`);
}

/**
 * Answers a question about a registry's document: directly when that is quick, otherwise on a thread, so that no
 * publisher's document delays other pulls.
 * @throws {RegistryError} MANIFEST_INVALID; UNAVAILABLE with 503 when too many large documents are waiting.
 */
export async function readAside<Asked extends Question>(
  question: Asked,
  { bytes, mediaType }: DocumentSource,
  details: ArgumentsOf<Asked>,
  turn: Turn = {},
): Promise<ContentOf<Asked>> {
  const request = { question, bytes, mediaType, details };
  if (isQuick(question, bytes)) return (await contentOf(request)) as ContentOf<Asked>;
  const reply = await THREAD.run(request, bytes.length, turn).catch(throwAsRegistryError);
  switch (reply.kind) {
    case 'answered':
      return reply.content as ContentOf<Asked>;
    case 'refused':
      throw new RegistryError('MANIFEST_INVALID', reply.message);
    case 'failed':
      throw new Error(reply.message);
  }
}
