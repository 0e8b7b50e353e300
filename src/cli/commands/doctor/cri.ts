import { type ClientHttp2Session, connect, constants, type IncomingHttpHeaders } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** Status codes of gRPC that the result depends on. */
const OK = '0';
const UNIMPLEMENTED = '12';

const RETRY_MS = 100;

/** The result of a pull by the Container Runtime Interface. */
export type CriPull =
  | { readonly kind: 'pulled' }
  /** The server at the socket has no CRI: Docker disables it in its own containerd. */
  | { readonly kind: 'no-cri' }
  | { readonly kind: 'failed'; readonly message: string };

/** Encodes a length-delimited field of protobuf. */
function field(number: number, content: Buffer): Buffer {
  const length: number[] = [];
  let rest = content.length;
  for (; rest > 0x7f; rest >>>= 7) length.push((rest & 0x7f) | 0x80);
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...length, rest]), content]);
}

/** Frames one message for gRPC: a zero byte (not compressed), the length, the bytes. */
function frame(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

function answerOf(trailers: IncomingHttpHeaders): Answer | undefined {
  const status = trailers['grpc-status'];
  if (typeof status !== 'string') return undefined;
  const said = trailers['grpc-message'];
  return { status, message: decoded(typeof said === 'string' ? said : `gRPC status ${status}`) };
}

function decoded(message: string): string {
  try {
    return decodeURIComponent(message);
  } catch {
    return message;
  }
}

type Answer = { readonly status: string; readonly message: string } | { readonly broken: string };

/** Makes a unary call. The result is `broken` when the answer has no gRPC status. */
function call(
  session: ClientHttp2Session,
  method: string,
  message: Buffer,
  signal: AbortSignal,
): Promise<Answer> {
  return new Promise((resolve) => {
    const settle = (broken: string) => resolve({ broken });
    if (session.closed || session.destroyed) {
      settle('the runtime closed the connection');
      return;
    }
    const stream = session.request(
      {
        [constants.HTTP2_HEADER_METHOD]: 'POST',
        [constants.HTTP2_HEADER_PATH]: `/runtime.v1.${method}`,
        [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc',
        te: 'trailers',
      },
      { signal },
    );
    for (const event of ['response', 'trailers'] as const) {
      stream.on(event, (headers: IncomingHttpHeaders) => {
        const answer = answerOf(headers);
        if (answer !== undefined) resolve(answer);
      });
    }
    stream.on('error', (error) => settle(error.message));
    stream.on('close', () => settle('the runtime closed the connection'));
    stream.resume();
    stream.end(frame(message));
  });
}

/**
 * Waits until the CRI works: a runtime listens before that. Until then it refuses every call, with a status
 * that other failures have as well. `Version` fails for no other reason, so this calls it until it succeeds.
 */
async function untilInitialized(session: ClientHttp2Session, signal: AbortSignal): Promise<Answer> {
  for (let refusal: Answer | undefined; ; ) {
    const answer = await call(session, 'RuntimeService/Version', Buffer.alloc(0), signal);
    if ('broken' in answer) return signal.aborted && refusal !== undefined ? refusal : answer;
    if (answer.status === OK || answer.status === UNIMPLEMENTED) return answer;
    refusal = answer;
    await delay(RETRY_MS, undefined, { signal }).catch(() => undefined);
  }
}

function pullOf(answer: Answer): CriPull {
  if ('broken' in answer) return { kind: 'failed', message: answer.broken };
  if (answer.status === OK) return { kind: 'pulled' };
  if (answer.status === UNIMPLEMENTED) return { kind: 'no-cri' };
  return { kind: 'failed', message: answer.message };
}

async function pullOver(session: ClientHttp2Session, image: string, signal: AbortSignal): Promise<CriPull> {
  const ready = pullOf(await untilInitialized(session, signal));
  if (ready.kind !== 'pulled') return ready;
  // PullImageRequest { image: ImageSpec { image } }
  const request = field(1, field(1, Buffer.from(image)));
  return pullOf(await call(session, 'ImageService/PullImage', request, signal));
}

/**
 * Makes a container runtime pull an image as the kubelet does: by PullImage of the Container Runtime
 * Interface, once the runtime is initialized.
 * @see https://github.com/kubernetes/cri-api/blob/master/pkg/apis/runtime/v1/api.proto
 */
export async function pullByCri(socket: string, image: string, signal: AbortSignal): Promise<CriPull> {
  const session = connect('http://localhost', { createConnection: () => connectSocket(socket) });
  const disconnected = new Promise<CriPull>((resolve) => {
    session.on('error', ({ message }) => resolve({ kind: 'failed', message }));
  });
  try {
    return await Promise.race([pullOver(session, image, signal), disconnected]);
  } finally {
    session.destroy();
  }
}
