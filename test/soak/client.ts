import { createHash } from 'node:crypto';
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { type Digest, digestOf, parseDigest } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import type { Title } from './library.ts';
import type { Random } from './random.ts';
import { Tally } from './tally.ts';

/** The results of all clients. */
export class Ledger {
  /** Complete responses whose bytes had their digest. */
  readonly right = new Tally();
  rightBytes = 0;
  /** Complete responses with wrong bytes, and responses that no fault of a registry explains. */
  readonly wrong: string[] = [];
  /** Blobs combined from several responses that were wrong, which is possible while the mirror's blob is incomplete. */
  wrongTogether = 0;
  /** Retried responses, by their fault. */
  readonly retried = new Tally();
  /** Pulls, by client. */
  readonly pulls = new Tally();
  readonly lost: string[] = [];
}

/** A failure after which a runtime would retry. */
class TryAgain extends Error {
  override readonly name = 'TryAgain';
}

/** The time limit for all tries of a step of a pull, in milliseconds, and below it the longest pause. */
const STEP_MS = 90_000;
const PAUSE_MAX_MS = 1000;
const SILENCE_MS = 60_000;
/** The statuses that a mirror may return when a registry fails. */
const EXPLAINED = new Set([429, 502, 503, 504]);

const ACCEPT = [
  MEDIA_TYPE.ociIndex,
  MEDIA_TYPE.ociManifest,
  MEDIA_TYPE.dockerList,
  MEDIA_TYPE.dockerManifest,
];

interface Body {
  readonly response: IncomingMessage;
  readonly bytes: Buffer;
  readonly isWhole: boolean;
}

/** How a client reads a blob. */
type Manner = 'at once' | 'in parts' | 'slowly' | 'with a break';

export interface ClientOptions {
  /** `http://127.0.0.1:PORT` of the mirror. */
  readonly mirror: string;
  readonly ledger: Ledger;
  readonly random: Random;
  /** Sent with every request. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** A client that verifies every digest and, like a runtime, retries when a connection breaks or a registry fails. */
export function createClient({ mirror, ledger, random, headers: own = {} }: ClientOptions) {
  const keeping = new Agent({ keepAlive: true, maxSockets: 4 });

  function send(method: string, path: string, headers: object): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      // dockerd opens a connection for each request; other runtimes reuse theirs.
      const agent = random.chance(0.3) ? new Agent() : keeping;
      const asking = httpRequest(`${mirror}${path}`, { method, headers: { ...headers, ...own }, agent });
      asking.setTimeout(SILENCE_MS, () => asking.destroy(new Error(`nothing for ${SILENCE_MS} ms`)));
      asking.once('response', resolve).on('error', reject).end();
    });
  }

  /** Reads a body, or its first `most` bytes, when the client is to leave then. */
  async function readBody(response: IncomingMessage, manner: Manner, most: number): Promise<Body> {
    const chunks: Buffer[] = [];
    let sizeBytes = 0;
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) {
        chunks.push(chunk);
        sizeBytes += chunk.length;
        if (sizeBytes >= most) break;
        if (manner === 'slowly') await delay(random.whole(1, 20));
      }
    } catch {
      // `complete` is false for a body that broke off.
    }
    return { response, bytes: Buffer.concat(chunks), isWhole: response.complete };
  }

  async function ask(
    method: string,
    path: string,
    headers = {},
    manner: Manner = 'at once',
    most = Infinity,
  ) {
    let body: Body;
    try {
      const response = await send(method, path, headers);
      body = await readBody(response, manner, most);
    } catch (error) {
      throw new TryAgain((error as NodeJS.ErrnoException).code ?? (error as Error).message);
    }
    const { statusCode = 0 } = body.response;
    if (statusCode === 200 || statusCode === 206) return body;
    if (!EXPLAINED.has(statusCode)) {
      ledger.wrong.push(`${method} ${path}: ${statusCode} ${body.bytes.toString().slice(0, 300)}`);
    }
    throw new TryAgain(String(statusCode));
  }

  /** Retries until the attempt succeeds. Throws after the time limit. */
  async function insist<T>(what: string, attempt: () => Promise<T>): Promise<T> {
    const startedMs = performance.now();
    for (let pauseMs = 50; ; pauseMs = Math.min(PAUSE_MAX_MS, pauseMs * 2)) {
      try {
        return await attempt();
      } catch (error) {
        if (!(error instanceof TryAgain)) throw error;
        ledger.retried.add(error.message);
        if (performance.now() - startedMs > STEP_MS) throw new Error(`${what}: ${error.message}`);
        await delay(random.whole(pauseMs >> 1, pauseMs));
      }
    }
  }

  /** Counts a complete response, or records that its bytes were wrong. */
  function check(what: string, path: string, bytes: Buffer, digest: Digest): void {
    if (digestOf(bytes) !== digest) {
      ledger.wrong.push(`${path}: whole, and its bytes have the digest ${digestOf(bytes)}`);
      return;
    }
    ledger.right.add(what);
    ledger.rightBytes += bytes.length;
  }

  async function getManifest(title: Title, reference: string): Promise<Buffer> {
    const path = `/v2/${title.repository}/manifests/${reference}`;
    return insist(path, async () => {
      const { response, bytes, isWhole } = await ask('GET', path, { accept: ACCEPT.join(', ') });
      if (!isWhole) throw new TryAgain('broken off');
      const said = parseDigest(String(response.headers['docker-content-digest']));
      if (said === undefined) ledger.wrong.push(`${path}: no digest`);
      else check('manifests', path, bytes, parseDigest(reference) ?? said);
      if (response.headers['warning'] !== undefined) ledger.right.add('of these stale');
      return bytes;
    });
  }

  /** The reference by which the index is fetched: dockerd and containerd send HEAD first, podman does not. */
  async function referenceOf({ repository, tag }: Title): Promise<string> {
    if (random.chance(0.5)) return tag;
    const path = `/v2/${repository}/manifests/${tag}`;
    return insist(path, async () => {
      const { response } = await ask('HEAD', path, { accept: ACCEPT.join(', ') });
      return String(response.headers['docker-content-digest']);
    });
  }

  async function getWhole(path: string, digest: Digest, manner: Manner): Promise<void> {
    let before: Buffer = Buffer.alloc(0);
    await insist(path, async () => {
      const isResumed = before.length > 0;
      const headers = isResumed ? { range: `bytes=${before.length}-` } : {};
      const { response, bytes, isWhole } = await ask('GET', path, headers, manner);
      const isRest = response.statusCode === 206;
      const soFar = isRest ? Buffer.concat([before, bytes]) : bytes;
      if (isWhole && !isRest) return check('blobs', path, bytes, digest);
      if (isWhole && digestOf(soFar) === digest) return check('blobs resumed', path, soFar, digest);
      if (isWhole) ledger.wrongTogether += 1;
      // containerd continues after the bytes that it has; dockerd starts again.
      before = isWhole || random.chance(0.5) ? Buffer.alloc(0) : soFar;
      throw new TryAgain(isWhole ? 'wrong together' : 'broken off');
    });
  }

  async function getParts(path: string, digest: Digest, sizeBytes: number): Promise<void> {
    const count = 3;
    await insist(path, async () => {
      const hash = createHash('sha256');
      for (let part = 0; part < count; part += 1) {
        const [first, end] = [part, part + 1].map((edge) => Math.floor((sizeBytes * edge) / count));
        const range = `bytes=${first}-${(end ?? 0) - 1}`;
        const { bytes, isWhole } = await ask('GET', path, { range });
        if (!isWhole) throw new TryAgain('broken off');
        hash.update(bytes);
        ledger.rightBytes += bytes.length;
      }
      if (`sha256:${hash.digest('hex')}` === digest) return ledger.right.add('blobs in parts');
      ledger.wrongTogether += 1;
      throw new TryAgain('wrong together');
    });
  }

  async function getBlob(title: Title, { digest, size }: { digest: Digest; size: number }): Promise<void> {
    const path = `/v2/${title.repository}/blobs/${digest}`;
    const manner = random.pick<Manner>([
      'at once',
      'at once',
      'at once',
      'in parts',
      'slowly',
      'with a break',
    ]);
    if (manner === 'with a break') {
      await ask('GET', path, {}, 'at once', size >> 1).catch((error: unknown) => {
        // This break was intended.
        if (!(error instanceof TryAgain)) throw error;
      });
    }
    if (manner === 'in parts' && size > 3) await getParts(path, digest, size);
    else await getWhole(path, digest, manner);
  }

  /** Pulls an image: index, manifest, config and layers. Resolves with the digest of the selected manifest. */
  async function pull(title: Title): Promise<Digest> {
    const index = JSON.parse((await getManifest(title, await referenceOf(title))).toString()) as {
      manifests: { digest: Digest; platform: { architecture: string } }[];
    };
    const architecture = random.chance(0.15) ? 'arm64' : 'amd64';
    const entry = index.manifests.find(({ platform }) => platform.architecture === architecture);
    if (entry === undefined || !title.versions.some((version) => version.has(entry.digest))) {
      throw new Error(`the index leads to ${entry?.digest}, which is none of this tag's`);
    }
    const manifest = JSON.parse((await getManifest(title, entry.digest)).toString()) as {
      config: { digest: Digest; size: number };
      layers: { digest: Digest; size: number }[];
    };
    await Promise.all([manifest.config, ...manifest.layers].map((blob) => getBlob(title, blob)));
    return entry.digest;
  }

  async function once(path: string, headers: object, digestFor: (response: IncomingMessage) => unknown) {
    const { response, bytes, isWhole } = await ask('GET', path, headers);
    const isRight = isWhole && digestOf(bytes) === digestFor(response);
    if (!isRight) throw new Error(`${path}: not what is held`);
    ledger.right.add('held, without a registry');
    ledger.rightBytes += bytes.length;
  }

  return {
    /** Pulls, and records the result in the ledger. */
    async pull(title: Title): Promise<Digest | undefined> {
      try {
        const digest = await pull(title);
        ledger.pulls.add('pulls by HTTP');
        return digest;
      } catch (error) {
        ledger.lost.push(`${title.repository}: ${(error as Error).message}`);
        return undefined;
      }
    },
    /** Requests a blob once: a mirror that has it needs no registry. */
    blobHeld: (title: Title, digest: Digest) =>
      once(`/v2/${title.repository}/blobs/${digest}`, {}, () => digest),
    /** Requests a tag once. */
    tagHeld: (title: Title) =>
      once(`/v2/${title.repository}/manifests/${title.tag}`, { accept: ACCEPT.join(', ') }, (response) =>
        parseDigest(String(response.headers['docker-content-digest'])),
      ),
    close: () => keeping.destroy(),
  };
}

export type Client = ReturnType<typeof createClient>;
