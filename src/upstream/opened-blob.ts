import { RegistryError } from '../oci/registry-error.ts';
import { announcedSize } from './document.ts';
import type { Body } from './flow.ts';

/** A response that holds a blob or a part of one, its head understood. */
export interface OpenedBlob {
  readonly body: Body;
  /** A part was asked for and granted. */
  readonly isPart: boolean;
  /** Where the body's first byte stands in the blob, and where the body ends if that was said. */
  readonly start: number;
  readonly end: number | undefined;
  /** The whole blob's size, if it was said. */
  readonly sizeBytes: number | undefined;
  /** To be called when these bytes are no good: whoever sent them is asked last for a while. */
  readonly blame: () => void;
}

const CONTENT_RANGE = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/;

/**
 * What a response's head says of the bytes behind it. A 200 is the whole blob, whatever was asked for.
 * @throws {RegistryError} UNAVAILABLE when a 206 does not say which part it is, or contradicts itself; RANGE_INVALID when
 * it is a part of no bytes.
 */
export function readBlobHead(
  reply: {
    readonly status: number;
    readonly headers: Readonly<Record<string, string>>;
    readonly body: Body;
    readonly url: URL;
  },
  blame: () => void,
): OpenedBlob {
  const { status, headers, body, url } = reply;
  const announced = announcedSize(headers);
  if (status === 200) return { body, isPart: false, start: 0, end: announced, sizeBytes: announced, blame };
  if (announced === 0) {
    // Go's file server, and distribution with it, grants the end of an empty blob instead of answering 416.
    body.cancel();
    throw new RegistryError('RANGE_INVALID', `${url.host} has no such part`);
  }
  const match = CONTENT_RANGE.exec(headers['content-range'] ?? '');
  const [start, last] = [Number(match?.[1]), Number(match?.[2])];
  const sizeBytes = match?.[3] === '*' ? undefined : Number(match?.[3]);
  const isSound =
    match !== null &&
    start <= last &&
    (sizeBytes === undefined || last < sizeBytes) &&
    (announced === undefined || announced === last - start + 1);
  if (!isSound) {
    body.cancel();
    throw new RegistryError('UNAVAILABLE', `${url.host} answered 206 without a sound Content-Range`);
  }
  return { body, isPart: true, start, end: last + 1, sizeBytes, blame };
}
