/**
 * Counts the files of src that a request passes through: `npm run files-on-the-way`; `-- --list` names them.
 *
 * Resets V8's precise coverage just before a request, and reads it shortly after the answer. A file is on the
 * way when one of its functions ran in between. Code that runs at import, threads and libraries do not count.
 * The mirror runs from its sources, in front of a registry on loopback that asks for a token.
 *
 * tsx adds the function `__name` to each file and calls it for most others, so that function does not count.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { MEDIA_TYPE } from '../src/oci/media-type.ts';
import { bearerChallenge, createTokenService, requireBearer } from '../test/support/guarded-registry.ts';
import { createContent, type Handler, serveContent, startServer } from '../test/support/hostile-registry.ts';

const { values: given } = parseArgs({
  options: { list: { type: 'boolean', default: false } },
});
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const SRC = pathToFileURL(join(ROOT, 'src/')).href;
const TSX = import.meta.resolve('tsx');
/** Work after an answer, such as a commit to the store or a line of the log, has this time, in milliseconds. */
const AFTERMATH_MS = 400;

/** Runs before the program. Counts calls, and sends the files whose functions ran since the last message. */
const COUNTER = `
import { Session } from 'node:inspector';
const session = new Session();
session.connect();
session.post('Profiler.enable');
session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false });
/** True for the body of a module, the fields of a class, and the function that tsx adds to each file. */
const isNoFunction = (name, { startOffset }) =>
  name === '__name' || name === '<static_initializer>' || (name === '' && startOffset === 0);
const take = () => {
  let files = [];
  session.post('Profiler.takePreciseCoverage', (_, { result }) => {
    files = result
      .filter(({ url }) => url.startsWith(${JSON.stringify(SRC)}))
      .filter(({ functions }) => functions.some(({ functionName, ranges: [range] }) =>
        range.count > 0 && !isNoFunction(functionName, range)))
      .map(({ url }) => url.slice(${SRC.length}).replace(/[?].*$/, ''));
  });
  return files;
};
process.on('message', () => process.send(take()));
process.channel.unref();
process.once('exit', () => process.connected && process.send(take()));
`;

function startProgram(entry: string, call: string): ChildProcess {
  const main = JSON.stringify(new URL(entry, SRC).href);
  const imports = [TSX, `data:text/javascript,${encodeURIComponent(COUNTER)}`].flatMap((url) => [
    '--import',
    url,
  ]);
  return spawn(process.execPath, [...imports, '--eval', `import(${main}).then((m) => m.${call})`], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
}

async function take(program: ChildProcess): Promise<readonly string[]> {
  const answer = once(program, 'message');
  program.send('take');
  const [files] = (await answer) as [readonly string[]];
  return [...files].sort();
}

interface Mirror {
  readonly port: number;
  /** Returns the files that run during `work` and shortly after it. */
  filesOf(work: () => Promise<unknown>): Promise<readonly string[]>;
  stop(): Promise<void>;
}

async function startMirror(...args: readonly string[]): Promise<Mirror> {
  const data = mkdtempSync(join(tmpdir(), 'files-on-the-way-'));
  const words = ['node', 'metahub', 'serve', '--listen', '127.0.0.1:0', '--data', data, ...args];
  const program = startProgram('cli/main.ts', `main(${JSON.stringify(words)})`);
  const port = await new Promise<number>((found, failed) => {
    let text = '';
    program.once('exit', () => failed(new Error(`the mirror has ended: ${text}`)));
    program.stdout?.on('data', (chunk) => {
      text += chunk;
      const [, announced] = /http:\/\/127\.0\.0\.1:(\d+)/.exec(text) ?? [];
      if (announced !== undefined) found(Number(announced));
    });
  });
  await delay(1000);
  return {
    port,
    filesOf: async (work) => {
      await take(program);
      await work();
      await delay(AFTERMATH_MS);
      return take(program);
    },
    stop: async () => {
      const ended = once(program, 'exit');
      program.kill();
      await ended;
      rmSync(data, { recursive: true, force: true });
    },
  };
}

function get(port: number, path: string, headers: Readonly<Record<string, string>> = {}): Promise<string> {
  return new Promise((answered, failed) => {
    request({ host: '127.0.0.1', port, path, headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk)).on('error', failed);
      response.on('end', () => {
        const { statusCode = 0 } = response;
        if (statusCode >= 500) failed(new Error(`${path}: ${statusCode}`));
        else answered(Buffer.concat(chunks).toString('latin1'));
      });
    })
      .on('error', failed)
      .end();
  });
}

/**
 * Starts a registry that has an image index of three entries and two blobs in every repository, and asks for
 * a token.
 */
async function startRegistry() {
  const content = createContent();
  const put = (bytes: Buffer, mediaType: string) => ({
    mediaType,
    digest: content.putBlob(bytes),
    size: bytes.length,
  });
  const manifests = [{}, { features: ['cpu:broadwell'] }, { features: ['cpu:skylake'] }].map((extra, nth) => {
    const config = Buffer.from(JSON.stringify({ os: 'linux', architecture: 'amd64', created: String(nth) }));
    const document = {
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociManifest,
      config: put(config, MEDIA_TYPE.ociConfig),
      layers: [],
    };
    const digest = content.putManifest(document, MEDIA_TYPE.ociManifest);
    const platform = { os: 'linux', architecture: 'amd64', ...extra };
    return {
      mediaType: MEDIA_TYPE.ociManifest,
      digest,
      size: content.manifests.get(digest)?.bytes.length,
      platform,
    };
  });
  content.putManifest(
    { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests },
    MEDIA_TYPE.ociIndex,
    'latest',
  );
  const small = content.putBlob(Buffer.alloc(64 * 1024, 1));
  const large = content.putBlob(Buffer.alloc(48 * 1024 * 1024, 2));
  const tokens = createTokenService();
  const honest = serveContent(content);
  const guarded: Handler = (req, response) => {
    if (req.url?.startsWith('/token')) return tokens.handler(req, response);
    requireBearer(tokens, bearerChallenge(`${server.url}/token`, 'registry'), honest)(req, response);
  };
  const server = await startServer(guarded);
  return { server, small, large };
}

async function detectFiles(): Promise<readonly string[]> {
  const program = startProgram('cli/quick-detect.ts', "quickDetect(['detect', '--json'].slice(1))");
  program.stdout?.resume();
  const [files] = (await once(program, 'message')) as [readonly string[]];
  return [...files].sort();
}

async function loginFiles(): Promise<readonly string[]> {
  const site = await startMirror('--static-machines', 'on');
  const basic = {
    authorization: `Basic ${Buffer.from('qnib-type1:qnib-type1').toString('base64')}`,
  };
  const files = await site.filesOf(async () => {
    await get(site.port, '/v2/');
    const { token } = JSON.parse(
      await get(site.port, '/token?service=metahub&account=qnib-type1', basic),
    ) as {
      token: string;
    };
    await get(site.port, '/v2/', { authorization: `Bearer ${token}` });
  });
  await site.stop();
  return files;
}

const registry = await startRegistry();
const node = await startMirror('--upstream', `docker.io=${registry.server.url}`, '--set', 'cpu:broadwell');
const repository = '/v2/team/app';
const accept = { accept: [MEDIA_TYPE.ociIndex, MEDIA_TYPE.ociManifest].join(', ') };
const tag = () => get(node.port, `${repository}/manifests/latest`, accept);
const rows: readonly (readonly [what: string, files: readonly string[]])[] = [
  ['cold tag GET (index of three entries, token fetched)', await node.filesOf(tag)],
  ['tag GET, answered from memory', await node.filesOf(tag)],
  [
    'cold blob GET, 64 KiB',
    await node.filesOf(() => get(node.port, `${repository}/blobs/${registry.small}`)),
  ],
  [
    'cold blob GET, 48 MiB in parallel ranges',
    await node.filesOf(() => get(node.port, `${repository}/blobs/${registry.large}`)),
  ],
  ['docker login (/v2/, /token, /v2/)', await loginFiles()],
  ['metahub detect, from start to end', await detectFiles()],
];
await node.stop();
await registry.server.close();

for (const [what, files] of rows) {
  const inLib = files.filter((file) => file.startsWith('lib/')).length;
  process.stdout.write(
    `${String(files.length).padStart(4)} files, ${String(inLib).padStart(2)} in lib  ${what}\n`,
  );
  if (given.list) process.stdout.write(`${files.map((file) => `       ${file}\n`).join('')}`);
}
