import { randomBytes } from 'node:crypto';
import type { Digest } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { type Content, createContent, type Handler, serveContent, startServer } from './hostile-registry.ts';
import { type Metahub, startMetahub } from './metahub.ts';
import type { Workplace } from './workplace.ts';

/** A pushed image of one layer. */
export interface HeldImage {
  readonly tag: string;
  readonly manifest: Digest;
  readonly layer: Digest;
  readonly layerBytes: Buffer;
}

/** `metahub serve` as a process, and its registry, which a test controls. */
export interface WholeMirror {
  readonly metahub: Metahub;
  readonly port: number;
  /** `http://127.0.0.1:PORT` of the registry. */
  readonly registryUrl: string;
  readonly content: Content;
  /** Every request to the registry, `METHOD /target`, oldest first. */
  requests(): readonly string[];
  /** The handler of a correct registry. */
  readonly serveHonestly: Handler;
  /** Sets the registry's handler from now on; undefined: the correct one. */
  behave(handler: Handler | undefined): void;
  /** Adds an image to the registry with its own tag. */
  push(layerBytes?: number): HeldImage;
  /** Closes the registry, so that its port refuses connections. */
  closeRegistry(): Promise<void>;
}

export interface WholeMirrorOptions {
  /** Further arguments of `serve`. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** The limit of open files of the mirror. */
  readonly openFiles?: number;
  /** The features of the mirror's host. Default: a plain x86-64. */
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
