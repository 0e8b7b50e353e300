import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { type Body, BrokenBodyError } from '../../src/upstream/http/body.ts';
import {
  createBlobContent,
  type OpenedBlob,
  readBlobHead,
  UnsoundRangeError,
} from '../../src/upstream/resumable-blob.ts';

const KIB = 1024;

/** A blob of which each response brings so many bytes before it breaks off; how it ends, and how it was resumed. */
async function readInParts(sizeBytes: number, partBytes: number) {
  const bytes = Buffer.alloc(sizeBytes, 'metahub');
  const opening = (start: number): OpenedBlob => ({
    body: {
      read: async (take) => {
        take(bytes.subarray(start, start + partBytes), () => {});
        if (start + partBytes < sizeBytes) throw new BrokenBodyError('reset');
      },
      cancel: () => {},
    },
    isPart: start > 0,
    ...{ start, end: sizeBytes, sizeBytes },
    ...{ host: 'registry.test', etag: undefined, location: undefined },
    reportBad: () => {},
  });
  const resumes: number[] = [];
  const content = createBlobContent({
    digest: digestOf(bytes),
    name: 'registry.test/team/app@sha256:x',
    opened: opening(0),
    range: undefined,
    verify: true,
    reopen: async (start) => opening(start),
    resumeMs: 0,
    onResume: (offset) => resumes.push(offset),
  });
  const sink = new PassThrough().resume();
  const outcome = await content.writeTo(sink).then(
    () => 'complete',
    (error: { code: string }) => error.code,
  );
  return { outcome, resumes: resumes.length };
}

describe('a blob whose connection breaks off again and again', () => {
  test.each([
    [100, 'complete'],
    [101, 'UNAVAILABLE'],
  ])('in %d places is %s', async (breaks, outcome) => {
    expect(await readInParts((breaks + 1) * 16 * KIB, 16 * KIB)).toEqual({ outcome, resumes: 100 });
  });

  test.each([
    [16 * KIB, { outcome: 'complete', resumes: 9 }],
    [16 * KIB - 1, { outcome: 'UNAVAILABLE', resumes: 3 }],
  ])('each time after %d bytes is %o', async (partBytes, expected) => {
    expect(await readInParts(160 * KIB, partBytes)).toEqual(expected);
  });
});

describe('the head of a part of a blob', () => {
  const url = new URL('https://registry.test/v2/team/app/blobs/x');

  test.each([
    ['bytes 4-9/10', '6', [4, 10, 10]],
    ['bytes 4-9/10', undefined, [4, 10, 10]],
    ['bytes 4-4/10', undefined, [4, 5, 10]],
    ['bytes 4-9/*', undefined, [4, 10, undefined]],
    ['Bytes 4-9/10', undefined, [4, 10, 10]],
    ['bytes 4-3/10', undefined, 'unsound'],
    ['bytes 4-10/10', undefined, 'unsound'],
    ['bytes 4-9/10', '5', 'unsound'],
    ['bytes 4-9/10', '7', 'unsound'],
    ['items 4-9/10', undefined, 'unsound'],
    ['', undefined, 'unsound'],
  ])('with the Content-Range “%s” and the length %s is %o', (contentRange, length, expected) => {
    let cancelled = 0;
    const body: Body = {
      read: async () => {},
      cancel: () => {
        cancelled += 1;
      },
    };
    const headers = { 'content-range': contentRange, ...(length && { 'content-length': length }) };
    const reply = { status: 206, headers, body, url, target: url.pathname };
    let read: unknown;
    try {
      const { start, end, sizeBytes } = readBlobHead(reply, () => {}, digestOf(Buffer.from('x')));
      read = [start, end, sizeBytes];
    } catch (error) {
      expect(error).toBeInstanceOf(UnsoundRangeError);
      read = 'unsound';
    }
    expect(read).toEqual(expected);
    expect(cancelled).toBe(expected === 'unsound' ? 1 : 0);
  });
});
