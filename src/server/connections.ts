import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Log } from '../lib/log.ts';
import { type ErrorCode, RegistryError } from '../oci/registry-error.ts';

/** Node's name of what is wrong with a request -> what the client is told. Whatever else is wrong is malformed. */
const FAULTS: Readonly<Record<string, readonly [ErrorCode, number, string]>> = {
  HPE_HEADER_OVERFLOW: ['UNSUPPORTED', 431, 'Request Header Fields Too Large'],
  ERR_HTTP_REQUEST_TIMEOUT: ['UNSUPPORTED', 408, 'Request Timeout'],
};
const MALFORMED = ['UNSUPPORTED', 400, 'Bad Request'] as const;

/** A response on a connection whose request could not be read, so that there is no ServerResponse to write it to. */
function rawAnswer([code, status, reason]: readonly [ErrorCode, number, string], fields = ''): string {
  const body = JSON.stringify(new RegistryError(code, reason.toLowerCase(), { status }));
  return [
    `HTTP/1.1 ${status} ${reason}`,
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    `${fields}Connection: close`,
    '',
    body,
  ].join('\r\n');
}

/** Answers, or cuts, connections on which something else than a request arrives. */
export function guardConnections(
  server: Server,
  answer: (req: IncomingMessage, res: ServerResponse) => void,
  log: Log,
): void {
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    // After the head of a response another head would be taken for its body.
    const isAnswering = '_httpMessage' in socket && socket._httpMessage !== null;
    if (error.code === 'ECONNRESET' || !socket.writable || isAnswering) {
      socket.destroy();
      return;
    }
    log('debug', 'request-unreadable', 'unreadable request', { code: error.code });
    socket.end(rawAnswer(FAULTS[error.code ?? ''] ?? MALFORMED), () => socket.destroy());
  });
  server.on('connect', (_req: IncomingMessage, socket: Duplex) => {
    socket.end(rawAnswer(['UNSUPPORTED', 405, 'Method Not Allowed'], 'Allow: GET, HEAD\r\n'), () =>
      socket.destroy(),
    );
  });
  // No "100 Continue": whatever announces a body is refused before it is sent.
  server.on('checkContinue', answer);
  server.on('checkExpectation', answer);
}
