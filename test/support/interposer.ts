import { createServer, request as httpRequest, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Workplace } from './workplace.ts';

export interface Interposer {
  readonly url: string;
  /** `METHOD /target STATUS`, oldest first. */
  readonly exchanges: readonly string[];
}

/**
 * Stands between a runtime and a server, passes everything on, and runs `beforeAnswer` when an answer's header has
 * come and the runtime has not seen it yet.
 */
export async function startInterposer(
  workplace: Workplace,
  target: string,
  beforeAnswer: (exchange: string) => Promise<void>,
): Promise<Interposer> {
  const exchanges: string[] = [];
  const ask = (from: IncomingMessage) =>
    new Promise<IncomingMessage>((resolve, reject) => {
      // A new connection each time: the server behind may be another process than a moment ago.
      const { method, headers } = from;
      const onward = httpRequest(`${target}${from.url}`, { method, headers, agent: false });
      onward.once('response', resolve).once('error', reject).end();
    });
  const server = createServer((request, response) => {
    ask(request)
      .then(async (answer) => {
        const exchange = `${request.method} ${request.url} ${answer.statusCode}`;
        exchanges.push(exchange);
        await beforeAnswer(exchange);
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      })
      .catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  workplace.onClose(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, exchanges };
}
