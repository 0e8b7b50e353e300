import type { HostProfile } from '../host/profile.ts';
import { parseManifestDocument } from '../oci/manifest.ts';
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
