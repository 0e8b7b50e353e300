import { Writable } from 'node:stream';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Repository } from '../oci/reference.ts';
import type { Registry, RequestOptions } from '../oci/registry.ts';

/** A configuration is a few kilobytes; what is larger is not read, in bytes. */
const CONFIG_MAX_BYTES = 1024 * 1024;

/** The JSON of an image's configuration; undefined when it is too large or no JSON object. */
export async function readImageConfig(
  registry: Registry,
  repository: Repository,
  config: Descriptor,
  options: RequestOptions,
): Promise<Readonly<Record<string, unknown>> | undefined> {
  if (config.sizeBytes > CONFIG_MAX_BYTES) return undefined;
  const blob = await registry.blob(repository, config.digest, { ...options, follow: true });
  if (blob.kind === 'redirect') return undefined;
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      sizeBytes += chunk.length;
      // Copied: a chunk's memory is the source's again once it is written.
      chunks.push(Buffer.from(chunk));
      done(sizeBytes > CONFIG_MAX_BYTES ? new Error('the configuration is larger than it says') : undefined);
    },
  });
  await blob.writeTo(sink);
  return parseConfig(Buffer.concat(chunks));
}

/** Parsed JSON of a configuration; undefined when it is no object. */
export function parseConfig(bytes: Buffer): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    // An artifact's configuration need not be JSON.
    return undefined;
  }
}
