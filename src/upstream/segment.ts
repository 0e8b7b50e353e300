import type { OpenedBlob } from './resumable-blob.ts';

/** The next request is sent when this much of the present one is left, so that no round trip is waited for. */
const OPEN_AHEAD_BYTES = 1024 * 1024;

/** A range on its way: what of it has arrived stands in `buffer` until all before it has been handed over. */
export interface Segment {
  readonly start: number;
  readonly end: number;
  receivedBytes: number;
  deliveredBytes: number;
  unreleasedSlices: number;
  buffer: Buffer | undefined;
  opened: OpenedBlob | undefined;
  isRunning: boolean;
  isComplete: boolean;
  failure: Error | undefined;
}

export function newSegment(start: number, end: number, opened?: OpenedBlob): Segment {
  return {
    start,
    end,
    receivedBytes: 0,
    deliveredBytes: 0,
    unreleasedSlices: 0,
    buffer: undefined,
    opened,
    isRunning: false,
    isComplete: false,
    failure: undefined,
  };
}

export function isNearlyRead(segment: Segment | undefined): boolean {
  return segment !== undefined && segment.end - segment.start - segment.receivedBytes <= OPEN_AHEAD_BYTES;
}
