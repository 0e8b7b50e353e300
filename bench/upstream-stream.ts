/**
 * How fast a blob comes through the upstream client into a reader that does nothing: the standard reader against the
 * accelerated one, alternating in one run, over TCP and over TLS, unverified (as the cache reads) and verified.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { digestOf } from '../src/oci/digest.ts';
import { parseRepositoryName, parseSourceHost, type Repository } from '../src/oci/reference.ts';
import { createUpstream } from '../src/upstream/client.ts';
import { createAuthority } from '../test/support/certificates.ts';

const ROUNDS = Number(process.env['ROUNDS'] ?? 7);
const BLOB_BYTES = Number(process.env['BLOB_MB'] ?? 512) * 1e6;
const SERVER = fileURLToPath(new URL('upstream-server.mjs', import.meta.url));
const DIGEST = digestOf(Buffer.from('whatever: the bytes are not looked at'));
const REPOSITORY = { host: parseSourceHost('bench.test'), name: parseRepositoryName('bench') } as Repository;
const READERS = ['standard', 'raw'] as const;

interface Sample {
  readonly gigabytesPerSecond: number;
  readonly cpuSecondsPerGigabyte: number;
}

const nowhere = () =>
  new Writable({ highWaterMark: 1024 * 1024, write: (_chunk, _encoding, done) => done() });
const median = (values: readonly number[]) =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

async function startServer(
  ...certificate: readonly string[]
): Promise<{ child: ChildProcess; port: number }> {
  const child = spawn(process.execPath, [SERVER, String(BLOB_BYTES), ...certificate], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return { child, port: Number(line.toString()) };
}

async function measure(url: string, blobReader: (typeof READERS)[number], caFile?: string): Promise<Sample> {
  const upstream = createUpstream({
    registryFor: () => ({ endpoints: [{ url, anyAddress: true, tls: { caFile } }] }),
    pseudonym: 'bench',
    now: () => performance.now(),
    blobReader,
  });
  const read = async () => {
    const blob = await upstream.blob(REPOSITORY, DIGEST, { verify: false });
    if (blob.kind !== 'content') throw new Error('a redirect');
    await blob.writeTo(nowhere());
  };
  await read();
  const [start, cpu] = [performance.now(), process.cpuUsage()];
  await read();
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  await upstream.close();
  const gigabytes = BLOB_BYTES / 1e9;
  return {
    gigabytesPerSecond: gigabytes / seconds,
    cpuSecondsPerGigabyte: (user + system) / 1e6 / gigabytes,
  };
}

async function compare(title: string, url: string, caFile?: string): Promise<void> {
  const samples = { standard: [] as Sample[], raw: [] as Sample[] };
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const reader of READERS) samples[reader].push(await measure(url, reader, caFile));
  }
  for (const reader of READERS) {
    const speed = median(samples[reader].map(({ gigabytesPerSecond }) => gigabytesPerSecond));
    const cpu = median(samples[reader].map(({ cpuSecondsPerGigabyte }) => cpuSecondsPerGigabyte));
    console.log(`${title}  ${reader.padEnd(5)}  ${speed.toFixed(2)} GB/s  ${cpu.toFixed(2)} CPU s/GB`);
  }
  const ratios = samples.raw.map(
    ({ gigabytesPerSecond }, round) =>
      gigabytesPerSecond / (samples.standard[round]?.gigabytesPerSecond ?? Number.NaN),
  );
  console.log(`${title}  raw/standard, median of ${ROUNDS} rounds: ${median(ratios).toFixed(2)}`);
}

const authority = await createAuthority();
const { certFile, keyFile } = await authority.issue('127.0.0.1');
const [tcp, tls] = [await startServer(), await startServer(certFile, keyFile)];
try {
  await compare('TCP', `http://127.0.0.1:${tcp.port}`);
  await compare('TLS', `https://127.0.0.1:${tls.port}`, authority.certFile);
} finally {
  tcp.child.kill();
  tls.child.kill();
  await authority.remove();
}
