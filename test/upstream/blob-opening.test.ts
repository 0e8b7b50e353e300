import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { isOpened, readOpening } from '../../src/upstream/blob-opening.ts';
import { bodyOf } from '../../src/upstream/http/body.ts';
import { repository } from '../support/upstream.ts';

const MIB = 1024 * 1024;

describe('a blob that is labelled as a web page', () => {
  /** Opens a response of this size, with the bytes of the blob or of a page. */
  async function open(sizeBytes: number, isPage: boolean, isAnnounced = true) {
    const bytes = Buffer.alloc(sizeBytes, 'blob');
    const url = new URL('https://registry.test/v2/team/app/blobs/x');
    const length = isAnnounced ? { 'content-length': String(sizeBytes) } : {};
    const reply = {
      status: 200,
      headers: { 'content-type': 'text/html', ...length },
      url,
      target: url.pathname,
      body: bodyOf(isPage ? Buffer.alloc(sizeBytes, '<html>') : bytes),
    };
    const wanted = {
      ...{ repository: repository('team/app'), options: {} },
      ...{ digest: digestOf(bytes), name: 'registry.test/team/app', range: undefined },
    };
    return readOpening(reply, wanted, () => {}).then(
      (opening) => (isOpened(opening) ? opening.sizeBytes : undefined),
      (error: { code: string }) => error.code,
    );
  }

  test.each([
    ['the blob', false, MIB],
    ['a page', true, 'UNAVAILABLE'],
  ])('of one MiB is read and compared with the digest: %s', async (_, isPage, outcome) => {
    expect(await open(MIB, isPage)).toBe(outcome);
  });

  test('of more than one MiB is opened as it is: no page is so long, and the reader compares the digest', async () => {
    expect(await open(MIB + 1, true)).toBe(MIB + 1);
  });

  test.each([
    [MIB, MIB],
    [MIB + 1, 'UNAVAILABLE'],
  ])('of %d bytes that are not announced: %s', async (sizeBytes, outcome) => {
    expect(await open(sizeBytes, false, false)).toBe(outcome);
  });
});
