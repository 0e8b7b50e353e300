import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { listenOnLoopback } from './loopback.ts';
import type { Workplace } from './workplace.ts';

/**
 * What may become of an answer on its way: half of the body and a connection that ends or is reset, one flipped bit, or
 * `429 Too Many Requests` in its place.
 */
export type BodyFault = 'truncated' | 'reset' | 'corrupted' | 'refused';

export interface Interposer {
  readonly url: string;
  /** `METHOD /target STATUS`, oldest first. */
  readonly exchanges: readonly string[];
}

/** Runs when an answer's header has come and the asking side has not seen it yet; it may name a fault. */
export type BeforeAnswer = (exchange: string) => Promise<BodyFault | undefined> | BodyFault | undefined;

async function sendFaulty(
  answer: IncomingMessage,
  response: ServerResponse,
  fault: BodyFault,
): Promise<void> {
  if (fault === 'refused') {
    answer.resume();
    response.writeHead(429, { 'retry-after': '1' }).end('{"errors":[{"code":"TOOMANYREQUESTS"}]}');
    return;
  }
  const body = await buffer(answer);
  const middle = body.length >> 1;
  response.writeHead(answer.statusCode ?? 502, answer.headers);
  if (fault === 'corrupted') {
    body[middle] = (body[middle] ?? 0) ^ 1;
    response.end(body);
  } else {
    response.write(body.subarray(0, middle), () => {
      if (fault === 'reset') response.socket?.resetAndDestroy();
      else response.destroy();
    });
  }
}

/** Stands between one side that asks and a server, and passes everything on, unless told otherwise. */
export async function startInterposer(
  workplace: Workplace,
  target: string,
  beforeAnswer: BeforeAnswer,
): Promise<Interposer> {
  const exchanges: string[] = [];
  const ask = (from: IncomingMessage) =>
    new Promise<IncomingMessage>((resolve, reject) => {
      // A new connection each time: the server behind may be another process than a moment ago.
      const { method, headers } = from;
      const onward = httpRequest(`${target}${from.url}`, { method, headers, agent: false });
      onward.once('response', resolve).once('error', reject).end();
    });
  async function relay(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const answer = await ask(request);
    const exchange = `${request.method} ${request.url} ${answer.statusCode}`;
    exchanges.push(exchange);
    const fault = await beforeAnswer(exchange);
    if (fault !== undefined) return sendFaulty(answer, response, fault);
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  }
  const server = createServer((request, response) => {
    relay(request, response).catch(() => response.destroy());
  });
  const port = await listenOnLoopback(server);
  workplace.onClose(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${port}`, exchanges };
}
