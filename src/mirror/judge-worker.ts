import { parentPort } from 'node:worker_threads';
import { RegistryError } from '../oci/registry-error.ts';
import type { CachedDecision } from './decision-cache.ts';
import { type JudgeRequest, judgeManifest } from './judge-manifest.ts';

export type JudgeReply =
  | { readonly kind: 'judged'; readonly decision: CachedDecision }
  | { readonly kind: 'refused'; readonly message: string }
  | { readonly kind: 'failed'; readonly message: string };

export function replyTo(request: JudgeRequest): JudgeReply {
  try {
    return { kind: 'judged', decision: judgeManifest(request) };
  } catch (error) {
    const { message } = error as Error;
    return { kind: error instanceof RegistryError ? 'refused' : 'failed', message };
  }
}

if (parentPort !== null) {
  const port = parentPort;
  port.on('message', (request: JudgeRequest) => port.postMessage(replyTo(request)));
}
