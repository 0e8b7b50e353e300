import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loginFiles, openUpstream } from '../../src/cli/open-upstream.ts';
import { UpstreamsValue } from '../../src/cli/settings/upstreams.ts';
import { readValue } from '../../src/lib/config-source.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { temporaryFolder } from '../support/folder.ts';
import { requireBasic } from '../support/guarded-registry.ts';
import { createContent, serveContent, startServer } from '../support/hostile-registry.ts';
import { closing, repository, tagged } from '../support/upstream.ts';

describe('logins that a request brings', () => {
  test('are presented upstream for that request alone', async () => {
    const content = createContent();
    content.putManifest(
      { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [] },
      MEDIA_TYPE.ociIndex,
      'v1',
    );
    const registry = closing(await startServer(requireBasic('lab:secret', serveContent(content))));
    const host = new URL(registry.url).host;
    const folder = temporaryFolder();
    const [lab, other] = [join(folder, 'lab.json'), join(folder, 'other.json')];
    const auth = Buffer.from('lab:secret').toString('base64');
    await writeFile(lab, JSON.stringify({ auths: { [host]: { auth } } }));
    await writeFile(other, '{}');
    const upstream = closing(
      openUpstream(
        { upstream: readValue(UpstreamsValue, [`registry.test=${registry.url}`]), publicRegistries: false },
        { log: () => {}, pseudonym: 'metahub-test' },
      ),
    );
    const resolve = (logins?: string) =>
      upstream
        .resolve(
          repository('team/app'),
          tagged('v1'),
          logins === undefined ? {} : { access: { partition: logins, logins } },
        )
        .then(
          () => 'served',
          (error: { code: string }) => error.code,
        );
    const outcomes = [];
    for (const logins of [undefined, lab, other, undefined, lab]) outcomes.push(await resolve(logins));
    expect(outcomes).toEqual(['UNAUTHORIZED', 'served', 'UNAUTHORIZED', 'UNAUTHORIZED', 'served']);
  });
});

test('loginFiles() separates files that were given to the mirror from files of its user', () => {
  const files = loginFiles({
    CREDENTIALS_DIRECTORY: '/run/credentials/metahub',
    REGISTRY_AUTH_FILE: '/srv/auth.json',
    DOCKER_CONFIG: '/home/ann/.docker',
    XDG_RUNTIME_DIR: '/run/user/1000',
  });
  expect(files.given).toEqual([
    '/run/credentials/metahub/auth.json',
    '/srv/auth.json',
    '/etc/metahub/auth.json',
  ]);
  expect(files.ofUser.slice(0, 2)).toEqual([
    '/home/ann/.docker/config.json',
    '/run/user/1000/containers/auth.json',
  ]);
});
