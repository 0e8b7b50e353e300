import { describe, expect, test } from 'vitest';
import { createSealer } from '../../src/lib/seal.ts';
import type { AdmittedWrite } from '../../src/oci/push.ts';
import { PushAnswers } from '../../src/upstream/push-answers.ts';
import { repository } from '../support/upstream.ts';

const DAY_MS = 24 * 60 * 60_000;
const UPLOAD = new URL('https://registry.test/v2/team/app/blobs/uploads/1?state=x');

function writeOf(owner: string, name = 'team/app', host = 'registry.test'): AdmittedWrite {
  const route = {
    kind: 'begin-upload',
    ...{ repository: repository(name, host), written: name },
    ...{ namespace: undefined, digest: undefined, mount: undefined },
  } as const;
  const signal = new AbortController().signal;
  return { route, access: undefined, owner, client: owner, mayPull: () => true, signal };
}

/** The session of an upload that one client has begun, and what it leads to for another one, some time later. */
function begun(laterMs: number, by: AdmittedWrite): string {
  const clock = { ms: 1_000_000 };
  const answers = new PushAnswers(createSealer('push'), () => clock.ms);
  const asked = { url: UPLOAD, target: '/v2/team/app/blobs/uploads/' };
  const headers = answers.headersFor(writeOf('ann'), {
    status: 202,
    headers: { location: UPLOAD.href },
    asked,
  });
  const session = String(headers['location']).split('/').at(-1) ?? '';
  clock.ms += laterMs;
  try {
    const { url, target } = answers.openSession(by, session);
    return `${url.origin}${target}`;
  } catch (error) {
    return (error as { code: string }).code;
  }
}

describe('the session of an upload', () => {
  test.each([
    [0, UPLOAD.href],
    [DAY_MS - 1, UPLOAD.href],
    [DAY_MS, 'BLOB_UPLOAD_UNKNOWN'],
  ])('lasts a day: after %d ms it leads to %s', (laterMs, outcome) => {
    expect(begun(laterMs, writeOf('ann'))).toBe(outcome);
  });

  test.each([
    ['login', writeOf('bob')],
    ['repository', writeOf('ann', 'team/other')],
    ['registry', writeOf('ann', 'team/app', 'ghcr.io')],
  ])('opens for no other %s', (_, by) => {
    expect(begun(0, by)).toBe('BLOB_UPLOAD_UNKNOWN');
  });
});
