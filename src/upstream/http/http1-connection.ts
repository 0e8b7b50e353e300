import type { Socket } from 'node:net';
import type { Dial, DialTarget } from '../net/dial.ts';
import type { Slab, SlabPool } from './slab.ts';

/** What becomes of the bytes that arrive: those of a head are looked at, those of a body are kept until released. */
interface WireReader {
  /** Bytes up to wherever the head ends; valid during the call. False: read no further until asked to. */
  onHeadBytes(bytes: Buffer): boolean;
  /** How many bytes of a body are still to come; 0 while a head is read. */
  bodyLeft(): number;
  /** A piece of the body, at most as long as what is left of it. False: read no further until asked to. */
  onBodyBytes(chunk: Buffer, release: () => void): boolean;
  /** The other side has closed or broken the connection. */
  onGone(error: Error): void;
}

/** A connection that reads into memory of our own instead of having Node allocate for every read. */
export interface Http1Connection {
  readonly socket: Socket;
  /** Set while a request is under way; without one, whatever arrives ends the connection. */
  reader: WireReader | undefined;
}

const HEAD_BUFFER_BYTES = 16 * 1024;

function closed(): Error {
  return Object.assign(new Error('the connection was closed'), { code: 'ECONNRESET' });
}

/**
 * Opens a connection that reads into slabs.
 *
 * Node hands `callback` what it has read and then takes the next buffer from `buffer`, whether it goes on at once or not:
 * so that buffer must never be one that a chunk has been cut from.
 * @see https://nodejs.org/docs/latest-v20.x/api/net.html#socketconnectoptions-connectlistener
 */
export async function openConnection(
  dial: Dial,
  target: DialTarget,
  slabs: SlabPool,
): Promise<Http1Connection> {
  const headBuffer = Buffer.allocUnsafeSlow(HEAD_BUFFER_BYTES);
  let slab: Slab | undefined;
  let wire: Http1Connection | undefined;

  function takeBody(reader: WireReader, current: Slab, sizeBytes: number): boolean {
    const { chunk, release } = current.slice(Math.min(sizeBytes, reader.bodyLeft()));
    const isTooLong = chunk.length < sizeBytes;
    const goesOn = reader.onBodyBytes(chunk, release);
    // More than the body: whoever speaks out of turn is not listened to again.
    if (isTooLong) wire?.socket.destroy();
    return goesOn && !isTooLong;
  }

  const socket = await dial(target, {
    buffer: () => {
      if (slab && (slab.isFull() || !wire?.reader?.bodyLeft())) {
        slab.release();
        slab = undefined;
      }
      if (!wire?.reader?.bodyLeft()) return headBuffer;
      slab ??= slabs.take();
      return slab.remaining();
    },
    callback: (sizeBytes) => {
      const reader = wire?.reader;
      if (reader === undefined) {
        wire?.socket.destroy();
        return false;
      }
      if (slab) return takeBody(reader, slab, sizeBytes);
      return reader.onHeadBytes(headBuffer.subarray(0, sizeBytes));
    },
  });
  wire = { socket, reader: undefined };
  const gone = (error: Error = closed()) => {
    const reader = wire?.reader;
    if (wire) wire.reader = undefined;
    slab?.release();
    slab = undefined;
    reader?.onGone(error);
  };
  socket.on('error', gone);
  socket.on('close', () => gone());
  socket.on('end', () => gone());
  return wire;
}
