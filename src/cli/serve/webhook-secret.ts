import { createHmac } from 'node:crypto';
import type { Stats } from 'node:fs';
import { readTextFile } from '../../lib/regular-file.ts';
import { keyFileProblem } from '../../site/token.ts';

/** The file contains no usable secret, or others may read it. The message shows nothing of the content. */
export class WebhookSecretError extends Error {
  override readonly name = 'WebhookSecretError';
}

/** Maximum size of the file: enough for a secret and its successor. */
const FILE_MAX_BYTES = 1024;
const SECRET_MIN_BYTES = 24;
const SECRET_MAX_BYTES = 64;
const SECRET = /^whsec_([A-Za-z0-9+/]+={0,2})$/;

/**
 * Reads the secrets of a file, one on each line: `whsec_` and 24 to 64 bytes in base64. There are two while a
 * receiver changes its secret.
 * @throws {WebhookSecretError}
 * @see https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#signature-scheme
 */
export async function readWebhookSecrets(path: string): Promise<readonly Buffer[]> {
  const text = await readPrivateFile(path);
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  const secrets = lines.map((line) => Buffer.from(SECRET.exec(line.trim())?.[1] ?? '', 'base64'));
  const isUsable = ({ length }: Buffer) => length >= SECRET_MIN_BYTES && length <= SECRET_MAX_BYTES;
  if (secrets.length === 0 || !secrets.every(isUsable)) {
    throw new WebhookSecretError(`${path} holds no secret: whsec_ and 24 to 64 bytes in base64 on a line`);
  }
  return secrets;
}

async function readPrivateFile(path: string): Promise<string> {
  const ownUid = process.geteuid?.();
  const check = (stats: Stats) => {
    const problem = ownUid === undefined ? undefined : keyFileProblem(stats, ownUid);
    if (problem !== undefined) throw new WebhookSecretError(`${path} ${problem}`);
  };
  try {
    return await readTextFile(path, { maxBytes: FILE_MAX_BYTES, check });
  } catch (cause) {
    if (cause instanceof WebhookSecretError) throw cause;
    throw new WebhookSecretError(`${path} cannot be read: ${(cause as Error).message}`, { cause });
  }
}

/**
 * Returns the headers of Standard Webhooks, with one signature for each secret. `sentS` is seconds of the
 * wall clock.
 */
export function signatureHeaders(
  { id, body, sentS }: { readonly id: string; readonly body: string; readonly sentS: number },
  secrets: readonly Buffer[],
): Readonly<Record<string, string>> {
  const signatures = secrets.map((secret) => {
    const signature = createHmac('sha256', secret).update(`${id}.${sentS}.${body}`).digest('base64');
    return `v1,${signature}`;
  });
  return {
    'webhook-id': id,
    'webhook-timestamp': String(sentS),
    'webhook-signature': signatures.join(' '),
  };
}
