// `node --import tsx bench/bare-server.ts KIND …`: the least that Node.js needs for one of MetaHub's jobs, without
// MetaHub's guarantees. The difference to MetaHub is the cost of MetaHub's code; the difference to nginx is the
// cost of Node.js.
import { createHash } from 'node:crypto';
import { open, openSync, read, readFileSync, write } from 'node:fs';
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { connect as connectSecurely } from 'node:tls';
import { promisify } from 'node:util';

const [readAt, openFile, writeAt] = [promisify(read), promisify(open), promisify(write)];

/** Sends the same bytes with the same headers (a JSON list of names and values) to every client. */
function document(headersFile: string, bytesFile: string): RequestListener {
  const headers = JSON.parse(readFileSync(headersFile, 'utf8')) as string[];
  const bytes = readFileSync(bytesFile);
  return (_, res) => {
    res.writeHead(200, headers);
    res.end(bytes);
  };
}

/** Sends the requested range of one open file, with one read and one write. */
function ranges(path: string, sizeText: string): RequestListener {
  const fd = openSync(path, 'r');
  const free: Buffer[] = [];
  const send = async (req: IncomingMessage, res: ServerResponse) => {
    const [, first = 0, last = 0] = /^bytes=(\d+)-(\d+)$/.exec(req.headers.range ?? '')?.map(Number) ?? [];
    const length = last - first + 1;
    const buffer = free.pop() ?? Buffer.allocUnsafeSlow(length);
    await readAt(fd, buffer, 0, length, first);
    const range = `bytes ${first}-${last}/${sizeText}`;
    res.writeHead(206, ['Content-Length', String(length), 'Content-Range', range]);
    res.end(buffer, () => free.push(buffer));
  };
  return (req, res) => void send(req, res);
}

const READ_BYTES = 2 * 1024 * 1024;

/**
 * Reads from an upstream over its own socket, hashes, writes to a file below `folder` if given, and sends the bytes
 * on.
 */
function relay(upstream: string, folder?: string): RequestListener {
  const { hostname, port, protocol } = new URL(upstream);
  const target = { host: hostname, port: Number(port) };
  let files = 0;
  const send = async (req: IncomingMessage, res: ServerResponse) => {
    files += 1;
    const fd = folder === undefined ? undefined : await openFile(join(folder, String(files)), 'w');
    const hash = createHash('sha256');
    const buffers = [Buffer.allocUnsafeSlow(READ_BYTES), Buffer.allocUnsafeSlow(READ_BYTES)] as const;
    let turn: 0 | 1 = 0;
    let position = -1;
    let leftBytes = 0;
    const pass = async (chunk: Buffer) => {
      const storing = fd === undefined ? undefined : writeAt(fd, chunk, 0, chunk.length, position);
      const sending = new Promise((resolve) => res.write(chunk, resolve));
      position += chunk.length;
      leftBytes -= chunk.length;
      hash.update(chunk);
      await Promise.all([storing, sending]);
      if (leftBytes > 0) return void socket.resume();
      socket.destroy();
      hash.digest();
      res.end();
    };
    const onread = {
      buffer: () => {
        turn = turn === 0 ? 1 : 0;
        return buffers[turn];
      },
      callback: (sizeBytes: number, buffer: Uint8Array) => {
        let chunk = Buffer.from(buffer.buffer, buffer.byteOffset, sizeBytes);
        if (position < 0) {
          const end = chunk.indexOf('\r\n\r\n');
          const length = /content-length: (\d+)/i.exec(chunk.toString('latin1', 0, end))?.[1] ?? '0';
          chunk = chunk.subarray(end + 4);
          position = 0;
          leftBytes = Number(length);
          res.writeHead(200, ['Content-Length', length]);
        }
        if (chunk.length === 0) return true;
        void pass(chunk);
        return false;
      },
    };
    const options = { ...target, onread };
    const socket: Socket = protocol === 'https:' ? connectSecurely(options) : connect(options);
    socket.write(`GET ${req.url} HTTP/1.1\r\nHost: ${hostname}:${port}\r\nConnection: close\r\n\r\n`);
  };
  return (req, res) => void send(req, res);
}

const KINDS: Readonly<Record<string, (...words: readonly string[]) => RequestListener>> = {
  document: (headersFile = '', bytesFile = '') => document(headersFile, bytesFile),
  ranges: (path = '', sizeBytes = '') => ranges(path, sizeBytes),
  relay: (upstream = '', folder) => relay(upstream, folder),
};

const [kind = '', ...words] = process.argv.slice(2);
const listener = KINDS[kind]?.(...words);
const server = createServer(listener);
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`listening http://127.0.0.1:${(server.address() as AddressInfo).port}\n`);
});
