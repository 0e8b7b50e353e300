import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { digestOf } from '../../src/oci/digest.ts';
import type { BuiltDocument, BuiltImage } from './images.ts';
import { startServer } from './processes.ts';
import type { Workplace } from './workplace.ts';

/** Debian's docker-registry on loopback, in the role of the upstream. */
export interface DockerRegistry {
  /** `http://127.0.0.1:PORT`. */
  readonly url: string;
  /** Pushes an image's blobs and its manifest, by tag or only by digest. */
  pushImage(repository: string, image: BuiltImage, tag?: string): Promise<void>;
  pushManifest(repository: string, document: BuiltDocument, reference?: string): Promise<void>;
  /** Every request so far, `METHOD /path`, oldest first. */
  requests(): readonly string[];
  stop(): Promise<void>;
}

async function expectStatus(response: Response, status: number, what: string): Promise<Response> {
  if (response.status === status) return response;
  throw new Error(`${what}: ${response.status} ${await response.text()}`);
}

async function pushBlob(url: string, repository: string, bytes: Buffer): Promise<void> {
  const start = await fetch(`${url}/v2/${repository}/blobs/uploads/`, { method: 'POST' });
  await expectStatus(start, 202, `starting an upload to ${repository}`);
  const location = new URL(start.headers.get('location') ?? '', url);
  location.searchParams.set('digest', digestOf(bytes));
  const put = await fetch(location, { method: 'PUT', body: new Uint8Array(bytes) });
  await expectStatus(put, 201, `uploading a blob to ${repository}`);
}

/** @param more parts of its configuration, such as `auth`. Without `storage` its data is in the workplace. */
export async function startDockerRegistry(
  workplace: Workplace,
  more: {
    readonly http?: object;
    readonly auth?: object;
    readonly proxy?: object;
    readonly storage?: object;
  } = {},
): Promise<DockerRegistry> {
  const folder = workplace.folder('registry');
  const configuration = {
    version: '0.1',
    log: { level: 'info', accesslog: { disabled: false } },
    storage: { filesystem: { rootdirectory: join(folder, 'data') } },
    ...more,
    http: { addr: '127.0.0.1:0', secret: 'for one test run', ...more.http },
  };
  const file = join(folder, 'config.yml');
  writeFileSync(file, JSON.stringify(configuration)); // JSON is YAML
  const server = await startServer({
    command: 'docker-registry',
    args: ['serve', file],
    // A certificate bundle for HTTPS, with which its S3 driver does not start.
    env: { AWS_CA_BUNDLE: '' },
    ready: /listening on (127\.0\.0\.1:\d+)/,
  });
  const stop = async () => {
    await server.stop();
  };
  workplace.onClose(stop);
  const url = `http://${server.announced[1]}`;

  async function pushManifest(repository: string, document: BuiltDocument, reference?: string) {
    const response = await fetch(`${url}/v2/${repository}/manifests/${reference ?? document.digest}`, {
      method: 'PUT',
      headers: { 'content-type': document.mediaType },
      body: new Uint8Array(document.bytes),
    });
    await expectStatus(response, 201, `pushing a manifest to ${repository}`);
  }

  return {
    url,
    pushManifest,
    async pushImage(repository, image, tag) {
      for (const blob of image.blobs) await pushBlob(url, repository, blob);
      await pushManifest(repository, image.manifest, tag);
    },
    requests: () =>
      [...server.output().matchAll(/"((?:GET|HEAD|PUT|POST) \S+) HTTP/g)].map((match) => match[1] ?? ''),
    stop,
  };
}
