import { createServer, type Http2Server, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { pullByCri } from '../../../src/cli/commands/doctor/cri.ts';
import { openWorkplace } from '../../support/workplace.ts';

type Handler = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, body: Buffer) => void;

/** What answers gRPC on a socket, and its path; an initialized runtime unless `version` says otherwise. */
async function listening(
  handler: Handler,
  version: Handler = answering({ 'grpc-status': '0' }),
): Promise<string> {
  const workplace = openWorkplace();
  onTestFinished(() => workplace.close());
  const server: Http2Server = createServer();
  server.on('stream', (stream, headers) => {
    const chunks: Buffer[] = [];
    stream.on('error', () => undefined);
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    const answer = headers[':path'] === '/runtime.v1.RuntimeService/Version' ? version : handler;
    stream.on('end', () => answer(stream, headers, Buffer.concat(chunks)));
  });
  const path = join(workplace.directory, 'cri.sock');
  await new Promise<void>((resolve) => server.listen(path, resolve));
  workplace.onClose(() => void server.close());
  return path;
}

function answering(trailers: Record<string, string>): Handler {
  return (stream) => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers(trailers));
    stream.end(Buffer.alloc(5));
  };
}

const pull = (socket: string, image = 'docker.io/a:b') => pullByCri(socket, image, AbortSignal.timeout(5000));

test('pullByCri() sends PullImageRequest { image: { image } } in one gRPC frame', async () => {
  const seen: unknown[] = [];
  const socket = await listening((stream, headers, body) => {
    seen.push(headers[':path'], headers['content-type'], headers['te'], body);
    answering({ 'grpc-status': '0' })(stream, headers, body);
  });
  expect(await pull(socket)).toEqual({ kind: 'pulled' });
  const message = Buffer.concat([Buffer.from([0x0a, 15, 0x0a, 13]), Buffer.from('docker.io/a:b')]);
  expect(seen).toEqual([
    '/runtime.v1.ImageService/PullImage',
    'application/grpc',
    'trailers',
    Buffer.concat([Buffer.from([0, 0, 0, 0, 17]), message]),
  ]);
});

test('pullByCri() writes a length of more than 127 bytes as a varint', async () => {
  const bodies: Buffer[] = [];
  const socket = await listening((stream, headers, body) => {
    bodies.push(body);
    answering({ 'grpc-status': '0' })(stream, headers, body);
  });
  await pull(socket, 'x'.repeat(300));
  expect(bodies[0]?.subarray(0, 11)).toEqual(
    Buffer.from([0, 0, 0, 1, 50, 0x0a, 0xaf, 0x02, 0x0a, 0xac, 0x02]),
  );
});

test('pullByCri() returns the runtime’s message for a pull that failed', async () => {
  const socket = await listening(answering({ 'grpc-status': '5', 'grpc-message': 'a:b%3A not found' }));
  expect(await pull(socket)).toEqual({ kind: 'failed', message: 'a:b: not found' });
});

test('pullByCri() returns a message that is not percent-encoded unchanged', async () => {
  const socket = await listening(answering({ 'grpc-status': '2', 'grpc-message': '100% wrong' }));
  expect(await pull(socket)).toEqual({ kind: 'failed', message: '100% wrong' });
});

test('pullByCri() distinguishes a server without CRI, whose answer has no body, from a pull that failed', async () => {
  const unimplemented: Handler = (stream) =>
    stream.respond(
      { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '12' },
      { endStream: true },
    );
  const socket = await listening(unimplemented, unimplemented);
  expect(await pull(socket)).toEqual({ kind: 'no-cri' });
});

test('pullByCri() waits for a runtime that has just started and is not initialized yet', async () => {
  const calls: string[] = [];
  let refusals = 2;
  const socket = await listening(
    (stream, headers, body) => {
      calls.push('pull');
      answering({ 'grpc-status': '0' })(stream, headers, body);
    },
    (stream, headers, body) => {
      calls.push('version');
      const uninitialized = { 'grpc-status': '2', 'grpc-message': 'server is not initialized yet' };
      refusals -= 1;
      answering(refusals < 0 ? { 'grpc-status': '0' } : uninitialized)(stream, headers, body);
    },
  );
  expect(await pull(socket)).toEqual({ kind: 'pulled' });
  expect(calls).toEqual(['version', 'version', 'version', 'pull']);
});

test('pullByCri() returns the message of a runtime that is not initialized in time', async () => {
  const socket = await listening(
    answering({ 'grpc-status': '0' }),
    answering({ 'grpc-status': '2', 'grpc-message': 'server is not initialized yet' }),
  );
  expect(await pullByCri(socket, 'a:b', AbortSignal.timeout(500))).toEqual({
    kind: 'failed',
    message: 'server is not initialized yet',
  });
});

test('pullByCri() fails when a runtime that is not initialized closes the connection', async () => {
  const socket = await listening(answering({ 'grpc-status': '0' }), (stream, headers, body) => {
    stream.session?.close();
    answering({ 'grpc-status': '2', 'grpc-message': 'server is not initialized yet' })(stream, headers, body);
  });
  expect(await pull(socket)).toEqual({ kind: 'failed', message: 'the runtime closed the connection' });
});

test('pullByCri() fails when nothing listens, when the answer is truncated, and after its time limit', async () => {
  const nowhere = await pull('/nowhere/cri.sock');
  expect(nowhere).toMatchObject({ kind: 'failed', message: expect.stringContaining('ENOENT') });
  const broken = await listening((stream) => stream.session?.destroy());
  expect(await pull(broken)).toMatchObject({ kind: 'failed' });
  const silent = await listening(() => undefined);
  expect(await pullByCri(silent, 'a:b', AbortSignal.timeout(100))).toMatchObject({ kind: 'failed' });
});
