import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { run, startServer } from '../support/processes.ts';
import { describeWith } from '../support/required-programs.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** So many entries are judged on a thread, whose program is within the executable too. */
const ENTRIES = 150;

const INDEX = Buffer.from(
  JSON.stringify({
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociIndex,
    manifests: Array.from({ length: ENTRIES }, (_, at) => ({
      mediaType: MEDIA_TYPE.ociManifest,
      digest: digestOf(Buffer.from(String(at))),
      size: 1,
      platform: {
        architecture: 'amd64',
        os: 'linux',
        features: at === 7 ? ['cpu:broadwell'] : ['cpu:power9le'],
      },
    })),
  }),
);

describeWith(['npm'], 'the single executable, without Node.js, files or an environment beside it', () => {
  let workplace: Workplace;
  let program: string;
  const bare = (...words: readonly string[]) =>
    run('env', ['-i', program, ...words], { cwd: workplace.directory });

  beforeAll(async () => {
    workplace = openWorkplace();
    const built = await run('npm', ['run', '--silent', 'package', '--', 'executable'], {
      cwd: ROOT,
      timeoutMs: 240_000,
    });
    program = join(workplace.directory, 'metahub');
    await run('cp', [built.trim().split('\n').pop() ?? '', program]);
  });
  afterAll(() => workplace?.close());

  test('detects what the program in a checkout detects', async () => {
    const checkout = await run(process.execPath, [join(ROOT, 'bin/metahub.js'), 'detect', '--features']);
    expect(await bare('detect', '--features')).toBe(checkout);
    expect(JSON.parse(await bare('detect', '--json')).cpu.microarchitecture).toBe(
      (await bare('detect', 'cpu')).trim(),
    );
  });

  test('has its version and its catalogue within', async () => {
    expect(await bare('--version')).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect(await bare('catalog', 'show', 'tei')).toContain('text-embeddings-inference');
  });

  test('serves, and judges a large index on a thread', async () => {
    const upstream = createServer((_, res) => {
      res.writeHead(200, { 'content-type': MEDIA_TYPE.ociIndex, 'docker-content-digest': digestOf(INDEX) });
      res.end(INDEX);
    });
    await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
    workplace.onClose(() => void upstream.close());
    const port = (upstream.address() as AddressInfo).port;
    const words = ['serve', '--listen', '127.0.0.1:0', '--data', workplace.folder('data')];
    const settings = ['--set', 'cpu:broadwell', '--upstream', `docker.io=http://127.0.0.1:${port}`];
    const server = await startServer({
      command: 'env',
      args: ['-i', program, ...words, ...settings],
      ready: /listening.*?(http:\/\/127\.0\.0\.1:\d+)/,
    });
    workplace.onClose(() => server.stop());
    const answer = await fetch(`${server.announced[1]}/v2/acme/app/manifests/latest`, {
      headers: { accept: MEDIA_TYPE.ociIndex },
    });
    const { manifests } = (await answer.json()) as { manifests: readonly { readonly digest: string }[] };
    expect(manifests.map(({ digest }) => digest)).toEqual([digestOf(Buffer.from('7'))]);
  });
});
