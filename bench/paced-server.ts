// A registry with one image in memory that limits each connection, as content delivery networks and registries do:
// `paced-server.ts LAYERS LAYER_BYTES BYTES_PER_SECOND` prints its port and the digests of the layers.
import { randomBytes } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import { digestOf } from '../src/oci/digest.ts';
import { imageOf } from './content.ts';

const [layerCount = 1, layerBytes = 0, bytesPerSecond = 1] = process.argv.slice(2).map(Number);
const TICK_MS = 5;
const image = imageOf(Array.from({ length: layerCount }, () => randomBytes(layerBytes)));
/** The content by the name in a request: a digest, or the tag. */
const blobs = new Map<string, Buffer>(
  [image.config, ...image.layers, image.manifest].map((bytes) => [digestOf(bytes), bytes]),
);
const digests = new Map([...blobs].map(([digest, bytes]) => [bytes, digest]));

function pace(response: ServerResponse, part: Buffer): void {
  const start = performance.now();
  let sentBytes = 0;
  const timer = setInterval(() => {
    const dueBytes = Math.min(part.length, Math.floor(((performance.now() - start) / 1000) * bytesPerSecond));
    if (response.writableNeedDrain || dueBytes <= sentBytes) return;
    response.write(part.subarray(sentBytes, dueBytes));
    sentBytes = dueBytes;
    if (sentBytes < part.length) return;
    clearInterval(timer);
    response.end();
  }, TICK_MS);
  response.on('close', () => clearInterval(timer));
}

const server = createServer((request, response) => {
  const [, kind, reference = ''] = /\/(manifests|blobs)\/([^/?]+)/.exec(request.url ?? '') ?? [];
  const blob = blobs.get(reference) ?? (kind === 'manifests' ? image.manifest : undefined);
  if (kind === undefined) return void response.writeHead(200).end('{}');
  if (blob === undefined) return void response.writeHead(404).end();
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
  const start = Number(first ?? 0);
  const end = last ? Math.min(Number(last) + 1, blob.length) : blob.length;
  response.writeHead(first === undefined ? 200 : 206, {
    'content-length': end - start,
    'content-type': kind === 'blobs' ? 'application/octet-stream' : image.mediaType,
    'docker-content-digest': digests.get(blob),
    ...(first === undefined ? {} : { 'content-range': `bytes ${start}-${end - 1}/${blob.length}` }),
  });
  if (request.method === 'HEAD') return void response.end();
  pace(response, blob.subarray(start, end));
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  console.log(port, image.layers.map((layer) => digests.get(layer)).join(' '));
});
