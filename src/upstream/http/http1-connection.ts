import type { Socket } from 'node:net';
import { hostOf, portOf } from '../../lib/url.ts';
import type { Dial, DialTarget } from '../net/dial.ts';
import type { Slab, SlabPool } from './body.ts';

/** Receives the bytes of a response: first the head, then the body. */
interface WireReader {
  /** Takes bytes of the head, and whatever follows them. They are valid during the call only. False: pause reading. */
  onHeadBytes(bytes: Buffer): boolean;
  /** How many bytes of the body are still to come; 0 while the head is read. */
  bodyLeft(): number;
  /** Takes a chunk of the body. False: pause reading. */
  onBodyBytes(chunk: Buffer, release: () => void): boolean;
  /** The other side closed or broke the connection. */
  onGone(error: Error): void;
}

/** A connection that reads into its own memory, so that Node.js does not allocate for each read. */
export interface Http1Connection {
  readonly socket: Socket;
  /** Set while a request is running. Without it, any bytes that arrive close the connection. */
  reader: WireReader | undefined;
}

const HEAD_BUFFER_BYTES = 16 * 1024;

function closed(): Error {
  return Object.assign(new Error('the connection was closed'), { code: 'ECONNRESET' });
}

/**
 * Opens a connection that reads into slabs.
 *
 * Node.js passes what it has read to `callback`, and then takes the next buffer from `buffer`, even if reading
 * is paused. So that buffer must never be one that a chunk was cut from.
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
    // More bytes than announced violate the protocol.
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

/** How long an idle connection is kept, in milliseconds, and how many for each origin. */
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
    /** Opens a connection. If `signal` aborts first, the connection is closed as soon as it is open. */
    open: (url: URL, signal: AbortSignal | undefined): Promise<Http1Connection> =>
      new Promise((resolve, reject) => {
        const opening = open(url);
        const onAbort = () => {
          reject(signal?.reason);
          opening.then(
            ({ socket }) => socket.destroy(),
            () => {
              // It was not opened, so there is nothing to close.
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
    /** Closes the idle connections. */
    dropIdle: (origin: string): void => {
      for (const { socket } of idle.get(origin) ?? []) socket.destroy();
    },
    give: (origin: string, connection: Http1Connection): void => {
      const kept = idle.get(origin) ?? [];
      if (connection.socket.destroyed || kept.length >= IDLE_MAX) return void connection.socket.destroy();
      // Reading continues, to notice when it is closed; but it must not keep the process running.
      connection.socket.setTimeout(IDLE_MAX_MS).unref().resume();
      idle.set(origin, [...kept, connection]);
    },
    close: () => {
      for (const { socket } of all) socket.destroy();
    },
  };
}
