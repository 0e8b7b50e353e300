import { randomBytes } from 'node:crypto';
import type { Digest } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { type Content, createContent, type Handler, serveContent, startServer } from './hostile-registry.ts';
import { type Metahub, startMetahub } from './metahub.ts';
import type { Workplace } from './workplace.ts';

/** An image of one layer, as pushed. */
export interface HeldImage {
  readonly tag: string;
  readonly manifest: Digest;
  readonly layer: Digest;
  readonly layerBytes: Buffer;
}

/** `metahub serve`, a process, and the registry behind it, which does what a test wants. */
export interface WholeMirror {
  readonly metahub: Metahub;
  readonly port: number;
  /** `http://127.0.0.1:PORT` of the registry. */
  readonly registryUrl: string;
  readonly content: Content;
  /** Every request that the registry got, `METHOD /target`, oldest first. */
  requests(): readonly string[];
  /** How the registry answers when it is honest. */
  readonly serveHonestly: Handler;
  /** How the registry answers from now on; undefined: honestly. */
  behave(handler: Handler | undefined): void;
  /** Puts an image into the registry under a tag of its own. */
  push(layerBytes?: number): HeldImage;
  /** Closes the registry: its port refuses. */
  closeRegistry(): Promise<void>;
}

export interface WholeMirrorOptions {
  /** Further arguments of `serve`. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** How many files the mirror may open. */
  readonly openFiles?: number;
  /** What the mirror's host is, as features; a plain x86-64 when not said. */
  readonly host?: string;
}

/** Tags are looked up each time. */
export async function startWholeMirror(
  workplace: Workplace,
  { args = [], ...options }: WholeMirrorOptions = {},
): Promise<WholeMirror> {
  const content = createContent();
  const honest = serveContent(content);
  let behaviour = honest;
  const server = await startServer((request, response) => behaviour(request, response));
  workplace.onClose(server.close);
  const metahub = await startMetahub(workplace, {
    ...options,
    upstream: server.url,
    args: ['--tag-max-age', '0', ...args],
  });
  let tags = 0;
  return {
    metahub,
    port: Number(new URL(metahub.url).port),
    registryUrl: server.url,
    content,
    serveHonestly: honest,
    requests: () => server.requests.map(({ method, target }) => `${method} ${target}`),
    behave: (handler) => {
      behaviour = handler ?? honest;
    },
    push: (layerBytes = 300_000) => {
      tags += 1;
      const tag = `v${tags}`;
      const [config, layer] = [Buffer.from(JSON.stringify({ tag, os: 'linux' })), randomBytes(layerBytes)];
      const descriptor = (mediaType: string, bytes: Buffer) => ({
        mediaType,
        digest: content.putBlob(bytes),
        size: bytes.length,
      });
      const document = {
        schemaVersion: 2,
        mediaType: MEDIA_TYPE.ociManifest,
        config: descriptor(MEDIA_TYPE.ociConfig, config),
        layers: [descriptor('application/vnd.oci.image.layer.v1.tar', layer)],
      };
      const manifest = content.putManifest(document, MEDIA_TYPE.ociManifest, tag);
      return { tag, manifest, layer: descriptor('', layer).digest, layerBytes: layer };
    },
    closeRegistry: () => server.close(),
  };
}
