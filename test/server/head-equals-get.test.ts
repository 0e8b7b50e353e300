import { expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { ask, serve } from '../support/served.ts';

// What HEAD announces is what GET brings: containerd takes length, type and digest from HEAD and believes them.

const SUBJECT = digestOf(Buffer.from('subject'));
const CONFIG = digestOf(Buffer.from('a config'));
const INDEX = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [] };
const INDEX_DIGEST = digestOf(Buffer.from(JSON.stringify(INDEX)));
const SHA512 = `sha512:${'0'.repeat(128)}`;

const TARGETS = [
  '/v2/',
  '/v2/team/app/manifests/latest',
  '/v2/ghcr.io/team/app/manifests/latest',
  '/v2/team/app/manifests/latest?ns=ghcr.io',
  `/v2/team/app/manifests/${INDEX_DIGEST}`,
  `/v2/team/app/manifests/${SUBJECT}`,
  `/v2/team/app/manifests/${SHA512}`,
  '/v2/team/app/manifests/absent',
  '/v2/team/app/manifests/sha256:totallywrong',
  '/v2/TEAM/app/manifests/latest',
  '/v2/team/app/manifests/latest?ns=evil.example',
  `/v2/team/app/blobs/${CONFIG}`,
  `/v2/team/app/blobs/${SUBJECT}`,
  '/v2/team/app/blobs/nonsense',
  '/v2/team/app/tags/list',
  '/v2/team/app/tags/list?n=1',
  '/v2/team/app/tags/list?n=x',
  `/v2/team/app/referrers/${SUBJECT}`,
  `/v2/team/app/referrers/${SUBJECT}?artifactType=text/a`,
  '/v2/_catalog',
  '/nothing',
  '/',
  '/healthz',
  '/readyz',
  '/status.json',
];

const REQUESTS: readonly Record<string, string>[] = [
  {},
  { accept: MEDIA_TYPE.ociManifest },
  { 'if-none-match': `"${INDEX_DIGEST}", "${CONFIG}"` },
  { host: 'rebound.example' },
];

// Never equal by design: the time of day, and how long ago the answer was stored.
const headersOf = ({ date: _, age: __, ...headers }: Readonly<Record<string, unknown>>) => headers;

test.each(TARGETS)('fault 55: HEAD of %s has the headers of GET', async (target) => {
  const { port, registry } = await serve();
  expect(registry.putBlob(Buffer.from('a config'))).toBe(CONFIG);
  registry.putManifest(INDEX, { tag: 'latest' });
  registry.tag('other', INDEX_DIGEST);
  for (const headers of REQUESTS) {
    // Twice each: the second may be answered from memory.
    for (let round = 0; round < 2; round += 1) {
      const head = await ask(port, target, { method: 'HEAD', headers });
      const get = await ask(port, target, { headers });
      expect(head.status).toBe(get.status);
      expect(headersOf(head.headers)).toEqual(headersOf(get.headers));
      expect(head.body.length).toBe(0);
      if (get.status !== 304) expect(get.headers['content-length']).toBe(String(get.body.length));
    }
  }
});
