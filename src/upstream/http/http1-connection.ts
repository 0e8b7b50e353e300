import type { Socket } from 'node:net';
import { hostOf, portOf } from '../../lib/address.ts';
import type { Dial, DialTarget } from '../net/dial.ts';
import type { Slab, SlabPool } from './body.ts';

/** Receives the bytes that arrive: those of a header are parsed, those of a body are kept until released. */
interface WireReader {
  /** Bytes up to wherever the header ends; valid during the call. False: pause reading. */
  onHeadBytes(bytes: Buffer): boolean;
  /** How many bytes of a body are still to come; 0 while a header is read. */
  bodyLeft(): number;
  /** A piece of the body, at most as long as the rest of it. False: pause reading. */
  onBodyBytes(chunk: Buffer, release: () => void): boolean;
  /** The other side closed or broke the connection. */
  onGone(error: Error): void;
}

/** A connection that reads into its own memory, so that Node need not allocate for every read. */
export interface Http1Connection {
  readonly socket: Socket;
  /** Set while a request is under way; otherwise any bytes that arrive end the connection. */
  reader: WireReader | undefined;
}

const HEAD_BUFFER_BYTES = 16 * 1024;

function closed(): Error {
  return Object.assign(new Error('the connection was closed'), { code: 'ECONNRESET' });
}

/**
 * Opens a connection that reads into slabs.
 *
 * Node passes `callback` what it has read and then takes the next buffer from `buffer`, whether it continues at once or
 * not: that buffer must never be one that a chunk was cut from.
 * @see https://nodejs.org/docs/latest-v20.x/api/net.html#socketconnectoptions-connectlistener
 */
export async function openConnection(
  dial: Dial,
  target: DialTarget,
  slabs: SlabPool,
): Promise<Http1Connection> {
  const headBuffer = Buffer.allocUnsafeSlow(HEAD_BUFFER_BYTES);
  let slab: Slab | undefined;
  let connection: Http1Connection | undefined;

  function takeBody(reader: WireReader, current: Slab, sizeBytes: number): boolean {
    const { chunk, release } = current.slice(Math.min(sizeBytes, reader.bodyLeft()));
    const isTooLong = chunk.length < sizeBytes;
    const goesOn = reader.onBodyBytes(chunk, release);
    // More bytes than the body has: the server violates the protocol, so close the connection.
    if (isTooLong) connection?.socket.destroy();
    return goesOn && !isTooLong;
  }

  const socket = await dial(target, {
    buffer: () => {
      if (slab && (slab.isFull() || !connection?.reader?.bodyLeft())) {
        slab.release();
        slab = undefined;
      }
      if (!connection?.reader?.bodyLeft()) return headBuffer;
      slab ??= slabs.take();
      return slab.remaining();
    },
    callback: (sizeBytes) => {
      const reader = connection?.reader;
      if (reader === undefined) {
        connection?.socket.destroy();
        return false;
      }
      if (slab) return takeBody(reader, slab, sizeBytes);
      return reader.onHeadBytes(headBuffer.subarray(0, sizeBytes));
    },
  });
  connection = { socket, reader: undefined };
  const gone = (error: Error = closed()) => {
    const reader = connection?.reader;
    if (connection) connection.reader = undefined;
    slab?.release();
    slab = undefined;
    reader?.onGone(error);
  };
  socket.on('error', gone);
  socket.on('close', () => gone());
  socket.on('end', () => gone());
  return connection;
}

/** For how long a connection without a request is kept, and how many per origin. */
const IDLE_MAX_MS = 10_000;
const IDLE_MAX = 4;

/** Connections to origins: those in use, and those kept for the next request. */
export function createConnectionPool(dial: Dial, slabs: SlabPool) {
  const all = new Set<Http1Connection>();
  const idle = new Map<string, Http1Connection[]>();

  function forget(origin: string, connection: Http1Connection): void {
    all.delete(connection);
    const kept = idle.get(origin)?.filter((other) => other !== connection) ?? [];
    if (kept.length > 0) idle.set(origin, kept);
    else idle.delete(origin);
  }

  async function open(url: URL): Promise<Http1Connection> {
    const target = { host: hostOf(url), port: portOf(url), secure: url.protocol === 'https:' };
    const connection = await openConnection(dial, target, slabs);
    all.add(connection);
    connection.socket
      .once('close', () => forget(url.origin, connection))
      .on('timeout', () => connection.socket.destroy());
    return connection;
  }

  return {
    /** A new connection; when `signal` aborts first, it is closed as soon as it is open. */
    open: (url: URL, signal: AbortSignal | undefined): Promise<Http1Connection> =>
      new Promise((resolve, reject) => {
        const opening = open(url);
        const onAbort = () => {
          reject(signal?.reason);
          opening.then(
            ({ socket }) => socket.destroy(),
            () => {
              // No reader needs the chunk any more.
            },
          );
        };
        if (signal?.aborted) return onAbort();
        signal?.addEventListener('abort', onAbort, { once: true });
        opening.then(resolve, reject).finally(() => signal?.removeEventListener('abort', onAbort));
      }),
    /** The most recently used connection that is still open. */
    takeIdle: (origin: string): Http1Connection | undefined => {
      const kept = idle.get(origin) ?? [];
      for (let connection = kept.pop(); connection !== undefined; connection = kept.pop()) {
        if (connection.socket.destroyed) continue;
        connection.socket.setTimeout(0).ref();
        return connection;
      }
      return undefined;
    },
    /** Closes the connections that wait for a request. */
    dropIdle: (origin: string): void => {
      for (const { socket } of idle.get(origin) ?? []) socket.destroy();
    },
    give: (origin: string, connection: Http1Connection): void => {
      const kept = idle.get(origin) ?? [];
      if (connection.socket.destroyed || kept.length >= IDLE_MAX) return void connection.socket.destroy();
      // Reading continues, to notice its end; it must not keep the process running.
      connection.socket.setTimeout(IDLE_MAX_MS).unref().resume();
      idle.set(origin, [...kept, connection]);
    },
    close: () => {
      for (const { socket } of all) socket.destroy();
    },
  };
}
