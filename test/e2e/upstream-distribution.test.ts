import { randomBytes, randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { importPKCS8, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import type { Credential } from '../../src/upstream/auth/credentials.ts';
import type { EndpointSettings } from '../../src/upstream/settings.ts';
import { createAuthority, type IssuedCertificate, type TestAuthority } from '../support/certificates.ts';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts';
import { startServer, type TestServer } from '../support/hostile-registry.ts';
import { buildImage } from '../support/images.ts';
import { describeWith } from '../support/required-programs.ts';
import { readBlob, repository, tagged, upstreamTo } from '../support/upstream.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const app = repository('team/app');
const ANN: Credential = { kind: 'basic', username: 'ann', password: 'a secret' };
/** `ann:a secret`, as htpasswd -B writes it. */
const HTPASSWD = 'ann:$2y$05$w9S2mXdURTra83Du/nUZLeirwLapYNqrdxQHz4.ap/Sz6Ld/zSJUa\n';

describeWith(
  ['docker-registry', 'openssl'],
  'the upstream client with real registries (distribution)',
  () => {
    let workplace: Workplace;
    let authority: TestAuthority;
    let open: DockerRegistry;
    const image = buildImage(randomBytes(3_000_000), { dialect: 'oci' });
    const [config = Buffer.alloc(0), layer = Buffer.alloc(0)] = image.blobs;
    const clientOf = (endpoint: EndpointSettings, login?: Credential) =>
      upstreamTo(
        { endpoints: [{ anyAddress: true, ...endpoint }] },
        { credentials: { loginFor: async () => login } },
      );

    beforeAll(async () => {
      workplace = openWorkplace();
      authority = await createAuthority();
      workplace.onClose(authority.remove);
      open = await startDockerRegistry(workplace);
      for (const tag of ['v1', 'v2', 'v3']) await open.pushImage('team/app', image, tag);
    });
    afterAll(() => workplace?.close());

    describe('open to all', () => {
      const client = () => clientOf({ url: open.url });

      test('the manifest by tag and by digest, and its digest alone', async () => {
        const { digest, bytes, mediaType } = image.manifest;
        expect(await client().manifest(app, tagged('v1'))).toMatchObject({ digest, mediaType, bytes });
        expect(await client().manifest(app, { kind: 'digest', digest })).toMatchObject({ bytes });
        const sizeBytes = bytes.length;
        expect(await client().resolve(app, tagged('v1'))).toMatchObject({ digest, mediaType, sizeBytes });
      });

      test.each(['raw', 'standard'] as const)(
        'blobs whole and in part, read the %s way',
        async (blobReader) => {
          const upstream = upstreamTo({ endpoints: [{ url: open.url, anyAddress: true }] }, { blobReader });
          const digest = digestOf(layer);
          expect(await upstream.statBlob(app, digest)).toEqual({ digest, sizeBytes: layer.length });
          expect((await readBlob(await upstream.blob(app, digest))).equals(layer)).toBe(true);
          const range = { kind: 'from', first: 1000, last: 1_999_999 } as const;
          const part = await readBlob(await upstream.blob(app, digest, { range }));
          expect(part.equals(layer.subarray(1000, 2_000_000))).toBe(true);
          expect((await readBlob(await upstream.blob(app, digestOf(config)))).equals(config)).toBe(true);
        },
      );

      test('tags in pages, sorted, though this version forgets the order after `last`', async () => {
        expect(await client().tags(app)).toEqual({ tags: ['v1', 'v2', 'v3'], next: undefined });
        expect(await client().tags(app, { limit: 2 })).toEqual({ tags: ['v1', 'v2'], next: 'v2' });
        expect(await client().tags(app, { limit: 2, after: 'v2' })).toEqual({
          tags: ['v3'],
          next: undefined,
        });
      });

      test('what it does not have, and what it has no API for, is 404', async () => {
        const absent = digestOf(Buffer.from('absent'));
        await expect(client().manifest(app, tagged('no'))).rejects.toMatchObject({
          code: 'MANIFEST_UNKNOWN',
        });
        await expect(client().blob(app, absent)).rejects.toMatchObject({ code: 'BLOB_UNKNOWN' });
        await expect(client().tags(repository('no/such'))).rejects.toMatchObject({ code: 'NAME_UNKNOWN' });
        await expect(client().referrers(app, absent)).rejects.toMatchObject({ status: 404 });
      });
    });

    test('behind Basic, over TLS with a certificate of one’s own authority', async () => {
      const htpasswd = join(workplace.directory, 'htpasswd');
      writeFileSync(htpasswd, HTPASSWD);
      const { certFile, keyFile } = await authority.issue('127.0.0.1');
      const registry = await startDockerRegistry(workplace, {
        auth: { htpasswd: { realm: 'test', path: htpasswd } },
        http: { tls: { certificate: certFile, key: keyFile } },
      });
      const endpoint = { url: registry.url.replace('http:', 'https:'), tls: { caFile: authority.certFile } };
      const { bytes } = await clientOf(endpoint, ANN).manifest(app, tagged('v1'));
      expect(bytes.equals(image.manifest.bytes)).toBe(true);
      const blob = await clientOf(endpoint, ANN).blob(app, digestOf(layer));
      expect((await readBlob(blob)).equals(layer)).toBe(true);
      await expect(clientOf(endpoint).manifest(app, tagged('v1'))).rejects.toMatchObject({ status: 401 });
    });

    describe('behind a token service', () => {
      let issuer: IssuedCertificate;
      let service: TestServer;
      let registry: DockerRegistry;

      /** A token that distribution verifies: what was asked for is granted to whoever has the login. */
      async function issue(target: string): Promise<string> {
        const query = new URL(target, 'http://auth.invalid').searchParams;
        const [type, name, actions] = (query.get('scope') ?? '').split(':');
        const key = await importPKCS8(issuer.key, 'ES256');
        const x5c = [issuer.cert.replaceAll(/-----[A-Z ]+-----|\s/g, '')];
        return new SignJWT({ access: [{ type, name, actions: actions?.split(',') }] })
          .setProtectedHeader({ alg: 'ES256', typ: 'JWT', x5c })
          .setIssuer('test issuer')
          .setAudience(query.get('service') ?? '')
          .setSubject('ann')
          .setJti(randomUUID())
          .setIssuedAt()
          .setNotBefore('-1 minute')
          .setExpirationTime('5 minutes')
          .sign(key);
      }

      beforeAll(async () => {
        issuer = await authority.issue('token.test');
        service = await startServer(async (request, response) => {
          const shown = request.headers.authorization;
          if (shown !== `Basic ${Buffer.from('ann:a secret').toString('base64')}`) {
            return void response.writeHead(401).end();
          }
          response.writeHead(200, { 'content-type': 'application/json' });
          response.end(JSON.stringify({ token: await issue(request.url ?? ''), expires_in: 300 }));
        });
        workplace.onClose(service.close);
        registry = await startDockerRegistry(workplace, {
          auth: {
            token: {
              realm: `${service.url}/token`,
              service: 'test service',
              issuer: 'test issuer',
              rootcertbundle: authority.certFile,
            },
          },
        });
      });

      test('manifest and blobs come with one token', async () => {
        const upstream = clientOf({ url: registry.url, trustedHosts: [service.host] }, ANN);
        expect((await upstream.manifest(app, tagged('v1'))).digest).toBe(image.manifest.digest);
        expect((await readBlob(await upstream.blob(app, digestOf(layer)))).equals(layer)).toBe(true);
        expect(service.requests.map(({ target }) => target)).toEqual([
          '/token?service=test+service&scope=repository%3Ateam%2Fapp%3Apull',
        ]);
      });

      test('without the login: UNAUTHORIZED, with what to do about it', async () => {
        const asked = clientOf({ url: registry.url, trustedHosts: [service.host] }).manifest(
          app,
          tagged('v1'),
        );
        await expect(asked).rejects.toMatchObject({ code: 'UNAUTHORIZED' });
      });
    });
  },
);
