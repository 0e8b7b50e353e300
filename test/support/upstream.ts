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

/** Closes what a test opened when the test is over, last opened first. */
export function closing<Resource extends { close(): unknown }>(resource: Resource): Resource {
  afterTest(() => resource.close());
  return resource;
}

/** Runs `cleanup` when the test is over, last come first. */
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

/** An upstream client of which every source host leads to `settings`, closed after the test. */
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

/** Everything a blob writes, by its own `writeTo`. */
export async function readBlob(blob: Blob): Promise<Buffer> {
  if (blob.kind !== 'content') throw new Error(`redirected to ${blob.location}`);
  const sink = new PassThrough();
  const chunks: Buffer[] = [];
  // Copied: a chunk's memory is the source's again once it is written.
  sink.on('data', (chunk: Buffer) => chunks.push(Buffer.from(chunk)));
  await blob.writeTo(sink);
  return Buffer.concat(chunks);
}
