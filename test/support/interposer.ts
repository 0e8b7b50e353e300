import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { listenOnLoopback } from './loopback.ts';
import type { Workplace } from './workplace.ts';

/**
 * A fault of a response: half of the body and a connection that ends or is reset, one flipped bit, or `429 Too Many
 * Requests`.
 */
export type BodyFault = 'truncated' | 'reset' | 'corrupted' | 'refused';

export interface Interposer {
  readonly url: string;
  /** `METHOD /target STATUS`, oldest first. */
  readonly exchanges: readonly string[];
}

/** Runs when a response's header has arrived and was not forwarded yet. May return a fault. */
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

/** A proxy between a client and a server that forwards everything, except for the given faults. */
export async function startInterposer(
  workplace: Workplace,
  target: string,
  beforeAnswer: BeforeAnswer,
): Promise<Interposer> {
  const exchanges: string[] = [];
  const ask = (from: IncomingMessage) =>
    new Promise<IncomingMessage>((resolve, reject) => {
      // A new connection each time, because the server may have been restarted.
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
