import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  request,
  type Server,
  type ServerResponse,
} from 'node:http';
import { listenOnLoopback } from './loopback.ts';
import type { Workplace } from './workplace.ts';

/** How a request is forwarded. Default: unchanged. */
export interface PassedOn {
  readonly headers?: IncomingHttpHeaders;
  readonly body?: Buffer;
  /** Headers added to the response. */
  readonly answerHeaders?: OutgoingHttpHeaders;
}

/** Answers a request itself, or forwards it to the registry. */
export type Gateway = (
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  passOn: (how?: PassedOn) => void,
) => unknown;

/**
 * Starts a gateway in front of a registry.
 * @param registry `http://127.0.0.1:PORT`
 * @param server for example a server with TLS
 * @returns the port
 */
export async function startGateway(
  workplace: Workplace,
  registry: string,
  gateway: Gateway,
  server: Server = createServer(),
): Promise<number> {
  server.on('request', async (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const { method, url } = incoming;
    const passOn = ({ headers = incoming.headers, body, answerHeaders = {} }: PassedOn = {}) => {
      const onward = request(`${registry}${url}`, { method, headers }, (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, { ...answer.headers, ...answerHeaders });
        answer.pipe(outgoing);
      });
      onward.on('error', () => outgoing.destroy());
      if (body === undefined) incoming.pipe(onward);
      else onward.end(body);
    };
    try {
      await gateway(incoming, outgoing, passOn);
    } catch {
      outgoing.destroy();
    }
  });
  const port = await listenOnLoopback(server);
  workplace.onClose(() => {
    server.closeAllConnections();
    server.close();
  });
  return port;
}
