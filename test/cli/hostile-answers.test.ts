import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { fetchMachineTypes, readSiteAddress } from '../../src/cli/site-client.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { writeTree } from '../support/host-tree.ts';
import { createContent, serveContent, startServer } from '../support/hostile-registry.ts';
import { runCli } from '../support/run-cli.ts';
import { closing } from '../support/upstream.ts';

test('metahub prints a registry’s refusal without control characters', async () => {
  const content = createContent();
  const config = content.putBlob(Buffer.from('{}'));
  const entry = { mediaType: MEDIA_TYPE.ociConfig, digest: config, size: 2 };
  content.putManifest(
    { schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config: entry, layers: [] },
    MEDIA_TYPE.ociManifest,
    'v1',
  );
  const hub = closing(await startServer(serveContent(content)));
  const message = 'no\u001b]0;owned\u0007 \u009b31m \u202eway\r\nmetahub: all is well';
  const evil = closing(
    await startServer((request, response) => {
      response.writeHead(request.method === 'HEAD' ? 404 : 403, { 'content-type': 'application/json' });
      response.end(request.method === 'HEAD' ? undefined : JSON.stringify({ errors: [{ message }] }));
    }),
  );
  const list = join(writeTree({}), 'manifest.yml');
  writeFileSync(
    list,
    'image: evil.test/a/b:v1\nmanifests:\n  - image: hub.test/c/d:v1\n    platform: { os: linux, architecture: amd64 }\n',
  );
  const upstreams = [`hub.test=${hub.url}`, `evil.test=${evil.url}`].flatMap((pair) => ['--upstream', pair]);
  const { stderr, status } = await runCli('push', ...upstreams, list);
  expect(status).toBe(1);
  expect(stderr).toContain('owned');
  expect([...stderr].filter((letter) => /[\p{Cc}\p{Cf}]/u.test(letter) && letter !== '\n')).toEqual([]);
  expect(stderr.split('\n').filter((line) => line.startsWith('metahub: all is well'))).toEqual([]);
});

describe('a site that answers a login with', () => {
  test.each([
    ['no list', { hello: 'world' }],
    ['nothing', null],
    [
      'a login that steers a terminal',
      { user: 'a', types: [{ name: 'x', login: '\u001b[2J', features: [] }] },
    ],
    ['a login of two lines', { user: 'a', types: [{ name: 'x', login: 'a\nb', features: [] }] }],
    ['features that are none', { user: 'a', types: [{ name: 'x', login: 'a', features: [{}] }] }],
  ])('%s is not accepted as a site', async (_, answer) => {
    const site = closing(
      await startServer((_request, response) => void response.end(JSON.stringify(answer))),
    );
    const asked = fetchMachineTypes(readSiteAddress(`127.0.0.1:${site.port}`), 'ann', 'secret');
    await expect(asked).rejects.toThrow('it is not a MetaHub');
  });
});
