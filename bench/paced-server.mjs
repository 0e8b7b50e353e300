// A registry with one blob whose every connection is limited, as content networks and registries limit them:
// `paced-server.mjs SIZE_BYTES BYTES_PER_SECOND` prints its port and the blob's digest. bench/paced.ts reads from it.
import { createHash, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';

const [sizeBytes = 0, bytesPerSecond = 1] = process.argv.slice(2).map(Number);
const TICK_MS = 5;
const blob = randomBytes(sizeBytes);
const digest = `sha256:${createHash('sha256').update(blob).digest('hex')}`;

function pace(response, part) {
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
  if (!request.url.includes(`/blobs/${digest}`)) return void response.writeHead(200).end('{}');
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
  const start = Number(first ?? 0);
  const end = last ? Math.min(Number(last) + 1, sizeBytes) : sizeBytes;
  response.writeHead(first === undefined ? 200 : 206, {
    'content-length': end - start,
    ...(first === undefined ? {} : { 'content-range': `bytes ${start}-${end - 1}/${sizeBytes}` }),
  });
  if (request.method === 'HEAD') return void response.end();
  pace(response, blob.subarray(start, end));
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port, digest));
