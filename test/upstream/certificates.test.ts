import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import type { UpstreamOptions } from '../../src/upstream/client.ts';
import type { TlsSettings } from '../../src/upstream/settings.ts';
import { createAuthority, type TestAuthority } from '../support/certificates.ts';
import { temporaryFolder } from '../support/folder.ts';
import { createContent, type ServerTls, serveContent, startServer } from '../support/hostile-registry.ts';
import { closing, repository, tagged, upstreamTo } from '../support/upstream.ts';

const INDEX = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [] };
let authority: TestAuthority;
beforeAll(async () => {
  authority = await createAuthority();
});
afterAll(() => authority.remove());

interface Setup {
  readonly server?: Partial<ServerTls>;
  readonly tls?: TlsSettings;
  readonly options?: Partial<UpstreamOptions>;
}

async function start({ server: with_ = {}, tls, options }: Setup = {}) {
  const content = createContent();
  content.putManifest(INDEX, MEDIA_TYPE.ociIndex, 'v1');
  const certificate = await authority.issue('127.0.0.1');
  const server = closing(await startServer(serveContent(content), { ...certificate, ...with_ }));
  const ask = (more: Partial<UpstreamOptions> = {}) =>
    upstreamTo({ endpoints: [{ url: server.url, anyAddress: true, tls }] }, { ...options, ...more }).manifest(
      repository('app'),
      tagged('v1'),
    );
  return { server, ask };
}

/** A directory as dockerd's /etc/docker/certs.d, with these files for `host`. */
async function certificateDir(host: string, files: Readonly<Record<string, string>>): Promise<string> {
  const directory = temporaryFolder();
  await mkdir(join(directory, host));
  for (const [name, from] of Object.entries(files)) await copyFile(from, join(directory, host, name));
  return directory;
}

describe('the certificate of a private authority', () => {
  test('is trusted with caFile', async () => {
    const { ask } = await start({ tls: { caFile: authority.certFile } });
    expect(await ask()).toMatchObject({ mediaType: MEDIA_TYPE.ociIndex });
  });

  test('is trusted with the host’s *.crt in a certs.d directory', async () => {
    const { ask, server } = await start();
    const directory = await certificateDir(server.host, { 'ca.crt': authority.certFile });
    expect(await ask({ certificateDirs: ['/nowhere', directory] })).toMatchObject({
      mediaType: MEDIA_TYPE.ociIndex,
    });
  });

  test('is not trusted by another host’s directory', async () => {
    const { ask } = await start();
    const directory = await certificateDir('127.0.0.1:1', { 'ca.crt': authority.certFile });
    await expect(ask({ certificateDirs: [directory] })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  test('is trusted for every host when the operator configures it globally', async () => {
    const { ask } = await start();
    expect(await ask({ extraAuthorities: ['/no/such/bundle.pem', authority.certFile] })).toMatchObject({
      mediaType: MEDIA_TYPE.ociIndex,
    });
  });

  test('is trusted with skipVerify, for one endpoint only', async () => {
    const { ask } = await start({ tls: { skipVerify: true } });
    expect(await ask()).toMatchObject({ mediaType: MEDIA_TYPE.ociIndex });
  });

  test('that is configured but unreadable is an error: no connection is opened without it', async () => {
    const { ask, server } = await start({ tls: { caFile: '/no/such/ca.crt' } });
    await expect(ask()).rejects.toThrow('/no/such/ca.crt');
    expect(server.connections().made).toBe(0);
  });

  test('in a file without a certificate is an error', async () => {
    const directory = temporaryFolder();
    const caFile = join(directory, 'ca.crt');
    await writeFile(caFile, '-----BEGIN CERTIFICATE-----\nnot one\n-----END CERTIFICATE-----\n');
    const { ask } = await start({ tls: { caFile } });
    await expect(ask()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });
});

describe('a registry that requires a client certificate', () => {
  const mutual = () => ({ clientAuthority: authority.cert });

  test('receives the configured one', async () => {
    const { certFile, keyFile } = await authority.issue('client.example');
    const tls = { caFile: authority.certFile, certFile, keyFile };
    const { ask, server } = await start({ server: mutual(), tls });
    await ask();
    expect(server.requests).toHaveLength(1);
  });

  test('receives the one in the host’s directory, client.cert and client.key', async () => {
    const { certFile, keyFile } = await authority.issue('client.example');
    const { ask, server } = await start({ server: mutual() });
    const files = { 'ca.crt': authority.certFile, 'client.cert': certFile, 'client.key': keyFile };
    expect(await ask({ certificateDirs: [await certificateDir(server.host, files)] })).toMatchObject({
      mediaType: MEDIA_TYPE.ociIndex,
    });
  });

  test('causes an error that names the registry when none is configured', async () => {
    const { ask, server } = await start({ server: mutual(), tls: { caFile: authority.certFile } });
    const asked = ask();
    await expect(asked).rejects.toMatchObject({ code: 'UNAVAILABLE', status: 502 });
    await expect(asked).rejects.toThrow(server.host);
  });
});

describe('fault 28: bad or expired certificate', () => {
  let other: TestAuthority;
  beforeAll(async () => {
    other = await createAuthority();
  });
  afterAll(() => other.remove());

  test('of an unknown authority: the connection is refused, and the message says how to configure the authority', async () => {
    const { ask, server } = await start();
    const asked = ask();
    await expect(asked).rejects.toMatchObject({ code: 'UNAVAILABLE', status: 502 });
    await expect(asked).rejects.toThrow('unknown authority; name its CA file for this upstream');
    expect(server.requests).toEqual([]);
  });

  test('expired: the connection is refused', async () => {
    const certificate = await authority.issue('127.0.0.1', { expired: true });
    const { ask } = await start({ server: certificate, tls: { caFile: authority.certFile } });
    await expect(ask()).rejects.toThrow('has an expired certificate');
  });

  test('for another name: the connection is refused', async () => {
    const certificate = await authority.issue('other.example');
    const { ask } = await start({ server: certificate, tls: { caFile: authority.certFile } });
    await expect(ask()).rejects.toThrow('has a certificate for another name');
  });

  test.each<[string, () => readonly [TestAuthority, TestAuthority], boolean]>([
    ['trusted', () => [other, authority], true],
    ['distrusted, whatever session was kept', () => [authority, other], false],
  ] as const)(
    'an authority that a CA file has %s since counts within a minute',
    async (_, files, isTrusted) => {
      const directory = temporaryFolder();
      const caFile = join(directory, 'ca.crt');
      const [before, after] = files();
      await copyFile(before.certFile, caFile);
      const content = createContent();
      content.putManifest(INDEX, MEDIA_TYPE.ociIndex, 'v1');
      const answer = serveContent(content);
      const server = closing(
        await startServer(
          (request, response, ...rest) => {
            response.setHeader('connection', 'close');
            return answer(request, response, ...rest);
          },
          await authority.issue('127.0.0.1'),
        ),
      );
      const clock = { now: 0 };
      const upstream = upstreamTo(
        { endpoints: [{ url: server.url, anyAddress: true, tls: { caFile } }] },
        { now: () => clock.now },
      );
      const isAnswered = () =>
        upstream.manifest(repository('app'), tagged('v1')).then(
          () => true,
          (error: Error) => !error.message.includes('unknown authority'),
        );
      expect(await isAnswered()).toBe(!isTrusted);
      await copyFile(after.certFile, caFile);
      clock.now = 61_000;
      expect(await isAnswered()).toBe(isTrusted);
    },
  );
});
