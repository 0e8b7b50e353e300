import { PassThrough } from 'node:stream';
import { onTestFinished } from 'vitest';
import {
  type ManifestReference,
  parseRepositoryName,
  parseSourceHost,
  parseTag,
  type Repository,
} from '../../src/oci/reference.ts';
import type { Blob } from '../../src/oci/registry.ts';
import { createUpstream, type UpstreamOptions } from '../../src/upstream/client.ts';
import type { UpstreamSettings } from '../../src/upstream/settings.ts';

/** Closes a resource after the test, the last opened one first. */
export function closing<Resource extends { close(): unknown }>(resource: Resource): Resource {
  afterTest(() => resource.close());
  return resource;
}

/** Runs `cleanup` after the test, in reverse order of the calls. */
export function afterTest(cleanup: () => unknown): void {
  onTestFinished(async () => {
    await cleanup();
  });
}

export function repository(name: string, host = 'registry.test'): Repository {
  const [parsedHost, parsedName] = [parseSourceHost(host), parseRepositoryName(name)];
  if (parsedHost === undefined || parsedName === undefined) throw new Error(`no repository: ${host}/${name}`);
  return { host: parsedHost, name: parsedName };
}

export function tagged(text: string): ManifestReference {
  const tag = parseTag(text);
  if (tag === undefined) throw new Error(`no tag: ${text}`);
  return { kind: 'tag', tag };
}

/** An upstream client that uses `settings` for every source host. It is closed after the test. */
export function upstreamTo(settings: UpstreamSettings, options: Partial<UpstreamOptions> = {}) {
  return closing(
    createUpstream({
      allowed: { get: () => settings },
      pseudonym: 'metahub-test',
      now: () => performance.now(),
      ...options,
    }),
  );
}

/** All bytes that a blob writes with its own `writeTo`. */
export async function readBlob(blob: Blob): Promise<Buffer> {
  if (blob.kind !== 'content') throw new Error(`redirected to ${blob.location}`);
  const sink = new PassThrough();
  const chunks: Buffer[] = [];
  // Copied, because the source reuses a chunk's memory once it is written.
  sink.on('data', (chunk: Buffer) => chunks.push(Buffer.from(chunk)));
  await blob.writeTo(sink);
  return Buffer.concat(chunks);
}
