import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from './loopback.ts';
import { run, startServer } from './processes.ts';
import type { Workplace } from './workplace.ts';

/** The requirements of {@link startObjectStorage}. */
export const OBJECT_STORAGE: readonly string[] = [
  ...['swift-proxy-server', 'swift-account-server', 'swift-container-server', 'swift-object-server'],
  ...['swift-ring-builder', 'memcached', 'unshare', 'curl'],
];

/** Debian's OpenStack Swift with the S3 API: an object storage on loopback, with one device and no copies. */
export interface ObjectStorage {
  readonly url: string;
  /** The parameters of distribution's S3 driver, without the bucket. */
  readonly s3: Readonly<Record<string, string | boolean>>;
  makeBucket(name: string): Promise<void>;
  /** Names of the objects in a bucket. */
  list(bucket: string): Promise<readonly string[]>;
}

const SECRET = 'testing';
const KINDS = ['account', 'container', 'object'] as const;
const PROXY_FILTERS = ['cache', 'listing_formats', 's3api', 'tempauth', 'slo'];

type Section = readonly [name: string, values: Readonly<Record<string, string | number | boolean>>];

function ini(sections: readonly Section[]): string {
  const text = ([name, values]: Section) =>
    [`[${name}]`, ...Object.entries(values).map(([key, value]) => `${key} = ${value}`), ''].join('\n');
  return sections.map(text).join('\n');
}

/**
 * Runs all of Swift below one process, so that they end with it. Swift reads /etc/swift, which is mounted only for
 * it.
 */
const SCRIPT = `
mount --bind "$1" /etc/swift
memcached -u root -l 127.0.0.1 -p "$2" &
shift 2
for kind in account container object proxy; do
  "swift-$kind-server" "/etc/swift/$kind-server.conf" --verbose &
done
for port; do
  until curl --silent --output /dev/null "http://127.0.0.1:$port/"; do sleep 0.1; done
done
echo ready
wait
`;

export async function startObjectStorage(workplace: Workplace): Promise<ObjectStorage> {
  const [etc, devices] = [workplace.folder('swift'), workplace.folder('swift-devices')];
  mkdirSync(join(devices, 'disk'), { recursive: true });
  const [memcachePort, proxyPort] = [await freePort(), await freePort()];
  const write = (file: string, sections: readonly Section[]) => writeFileSync(join(etc, file), ini(sections));
  const served = (port: number) => ({
    ...{ bind_ip: '127.0.0.1', bind_port: port, workers: 0, user: 'root' },
    ...{ swift_dir: '/etc/swift', devices, mount_check: false },
  });
  write('swift.conf', [
    ['swift-hash', { swift_hash_path_prefix: 'one', swift_hash_path_suffix: 'test' }],
    ['storage-policy:0', { name: 'one-copy', default: true }],
  ]);
  const ports = [proxyPort];
  for (const kind of KINDS) {
    const port = await freePort();
    ports.push(port);
    const app = `${kind}-server`;
    write(`${app}.conf`, [
      ['DEFAULT', served(port)],
      ['pipeline:main', { pipeline: app }],
      [`app:${app}`, { use: `egg:swift#${kind}` }],
    ]);
    const ring = (...words: readonly string[]) =>
      run('swift-ring-builder', [join(etc, `${kind}.builder`), ...words]);
    // 16 partitions, one copy, at least an hour between moves.
    await ring('create', '4', '1', '1');
    await ring('add', `r1z1-127.0.0.1:${port}/disk`, '1');
    await ring('rebalance');
  }
  write('proxy-server.conf', [
    ['DEFAULT', served(proxyPort)],
    ['pipeline:main', { pipeline: [...PROXY_FILTERS, 'proxy-server'].join(' ') }],
    ['app:proxy-server', { use: 'egg:swift#proxy', account_autocreate: true }],
    ['filter:cache', { use: 'egg:swift#memcache', memcache_servers: `127.0.0.1:${memcachePort}` }],
    ['filter:listing_formats', { use: 'egg:swift#listing_formats' }],
    ['filter:s3api', { use: 'egg:swift#s3api', location: 'us-east-1' }],
    ['filter:tempauth', { use: 'egg:swift#tempauth', user_test_tester: `${SECRET} .admin` }],
    ['filter:slo', { use: 'egg:swift#slo' }],
  ]);
  const server = await startServer({
    command: 'unshare',
    args: [
      ...['--mount', '--pid', '--fork', '--kill-child'],
      ...['sh', '-euc', SCRIPT, 'swift', etc, ...[memcachePort, ...ports].map(String)],
    ],
    ready: /^ready$/m,
  });
  workplace.onClose(() => server.stop('SIGKILL'));

  const url = `http://127.0.0.1:${proxyPort}`;
  const login = await fetch(`${url}/auth/v1.0`, {
    headers: { 'x-auth-user': 'test:tester', 'x-auth-key': SECRET },
  });
  const headers = { 'x-auth-token': login.headers.get('x-auth-token') ?? '' };
  const account = login.headers.get('x-storage-url') ?? '';
  return {
    url,
    s3: {
      ...{ accesskey: 'test:tester', secretkey: SECRET },
      ...{ region: 'us-east-1', regionendpoint: url, secure: false, v4auth: true },
    },
    async makeBucket(name) {
      const { status } = await fetch(`${account}/${name}`, { method: 'PUT', headers });
      if (status !== 201) throw new Error(`making the bucket ${name}: ${status}`);
    },
    list: async (bucket) => (await (await fetch(`${account}/${bucket}`, { headers })).text()).split('\n'),
  };
}
