/**
 * A process with its own store, for tests that kill it or run two of them in one directory. Content is computed
 * from its number, so that parent and child know the same bytes without communication.
 *
 * store-child.ts half DIRECTORY            writes half a blob, prints `half`, and waits to be killed store-child.ts
 * answers DIRECTORY         stores derived indexes without end, and prints each digest store-child.ts once
 * DIRECTORY KIND       stores one `blob`, `manifest` or `derived` index, and ends store-child.ts pulls DIRECTORY
 * ROUNDS    pulls numbered blobs through a cache and verifies each
 */
import { createHash } from 'node:crypto';
import { Writable } from 'node:stream';
import { pathToFileURL } from 'node:url';
import { cached } from '../../src/mirror/cache.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { parseRepositoryName, parseSourceHost, type Repository } from '../../src/oci/reference.ts';
import { openStore } from '../../src/store/store.ts';
import { createFakeRegistry } from './fake-registry.ts';

/** Some 100 to 1500 KB that are computed from a number. */
export function numberedBlob(number: number): Buffer {
  const seed = createHash('sha256').update(String(number)).digest();
  return Buffer.alloc(100_000 + (number % 15) * 100_000 + number, seed);
}

function repository(): Repository {
  const [host, name] = [parseSourceHost('registry.test'), parseRepositoryName('team/app')];
  if (!host || !name) throw new Error('no repository');
  return { host, name };
}

const open = (directory: string, maxBytes = 1e9) =>
  openStore({ directory, maxBytes, log: () => {}, now: () => Date.now() });

const say = (line: string) =>
  new Promise<void>((resolve) => process.stdout.write(`${line}\n`, () => resolve()));

async function half(directory: string): Promise<void> {
  const store = await open(directory);
  const bytes = numberedBlob(14);
  const provenance = { repository: repository(), access: undefined };
  const ingest = await store.ingest(digestOf(bytes), bytes.length, provenance);
  await ingest.write(bytes.subarray(0, bytes.length / 2));
  await say('half');
  setInterval(() => {}, 1000);
}

async function once(directory: string, kind: string): Promise<void> {
  const store = await open(directory);
  const provenance = { repository: repository(), access: undefined };
  const bytes = kind === 'blob' ? numberedBlob(14) : Buffer.from('{"schemaVersion":2,"manifests":[]}');
  const digest = digestOf(bytes);
  const manifest = { digest, bytes, mediaType: MEDIA_TYPE.ociIndex, maxAgeMs: 0 };
  if (kind === 'manifest') await store.keepManifest(manifest, provenance);
  if (kind === 'derived') await store.derived.keep(provenance.repository, manifest);
  if (kind === 'blob') {
    const ingest = await store.ingest(digest, bytes.length, provenance);
    await ingest.write(bytes);
    await ingest.verify();
    await ingest.commit();
    await ingest.close();
  }
  await store.close();
}

async function answers(directory: string): Promise<void> {
  const store = await open(directory);
  for (let number = 0; ; number += 1) {
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [], annotations: { number } }));
    const digest = digestOf(bytes);
    const answer = { digest, bytes, mediaType: MEDIA_TYPE.ociIndex, maxAgeMs: 0 };
    await store.derived.keep(repository(), answer);
    await say(digest);
  }
}

/** Pulls blobs in a random order and throws at the first wrong one. */
export async function pullNumbered(directory: string, rounds: number, maxBytes: number): Promise<void> {
  const store = await open(directory, maxBytes);
  const upstream = createFakeRegistry();
  const cache = cached({ next: upstream, store, log: () => {}, now: () => performance.now() });
  for (let number = 0; number < 15; number += 1) upstream.putBlob(numberedBlob(number));
  for (let round = 0; round < rounds; round += 1) {
    const bytes = numberedBlob((round * 7 + process.pid) % 15);
    const blob = await cache.blob(repository(), digestOf(bytes));
    if (blob.kind !== 'content') throw new Error('redirected');
    const hash = createHash('sha256');
    await blob.writeTo(
      new Writable({
        write: (chunk, _, done) => {
          hash.update(chunk);
          done();
        },
      }),
    );
    if (`sha256:${hash.digest('hex')}` !== digestOf(bytes)) throw new Error(`round ${round}: wrong bytes`);
  }
  await cache.close();
  await store.close();
}

const [, script = '', mode, directory = '', rounds = '0'] = process.argv;
if (import.meta.url === pathToFileURL(script).href) {
  if (mode === 'half') await half(directory);
  if (mode === 'once') await once(directory, rounds);
  if (mode === 'answers') await answers(directory);
  if (mode === 'pulls') await pullNumbered(directory, Number(rounds), 4_000_000);
}
