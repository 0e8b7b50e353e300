import { Cluster, Redis, type RedisOptions } from 'ioredis';
import type { KeyValueStore } from './key-value-store.ts';
import type { RedisAddress } from './redis-address.ts';

export interface RedisStoreOptions {
  readonly address: RedisAddress;
  /** Replaces the password in the address. */
  readonly password?: string | undefined;
  /** Certificate authorities to trust, in PEM. They replace the list of Node.js. */
  readonly ca?: string | undefined;
}

const CONNECT_MS = 5000;
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 1000;

const retryAfter = (attempt: number) => Math.min(RETRY_MIN_MS * attempt, RETRY_MAX_MS);

/** Options of all connections. The client neither queues nor repeats commands. */
function connectionOptions({ address, password = address.password, ca }: RedisStoreOptions) {
  return {
    protocol: 2,
    connectTimeout: CONNECT_MS,
    // Without the check, the first command fails while the server loads its data.
    enableReadyCheck: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    disableClientInfo: true,
    ...(address.user === undefined ? {} : { username: address.user }),
    ...(password === undefined ? {} : { password }),
    ...(address.tls ? { tls: ca === undefined ? {} : { ca } } : {}),
  } as const satisfies RedisOptions;
}

function connect(options: RedisStoreOptions): Redis | Cluster {
  const { kind, hosts, tls, database, master, password: ofAddress } = options.address;
  const shared = connectionOptions(options);
  if (kind === 'cluster') {
    return new Cluster([...hosts], {
      redisOptions: shared,
      enableOfflineQueue: false,
      enableReadyCheck: false,
      clusterRetryStrategy: retryAfter,
      slotsRefreshTimeout: CONNECT_MS,
    });
  }
  const single = { ...shared, db: database, enableOfflineQueue: false, retryStrategy: retryAfter };
  if (kind === 'server') return new Redis({ ...single, ...hosts[0] });
  const sentinelPassword = options.password ?? ofAddress;
  return new Redis({
    ...single,
    sentinels: [...hosts],
    name: master ?? '',
    // A Sentinel without a password accepts any.
    ...(sentinelPassword === undefined ? {} : { sentinelPassword }),
    sentinelRetryStrategy: retryAfter,
    ...(tls ? { enableTLSForSentinelMode: true, sentinelTLS: shared.tls ?? {} } : {}),
  });
}

/**
 * Opens two connections to Redis or Valkey: one for commands, and one for messages. Needs only the commands
 * GETRANGE, SET, PUBLISH and SUBSCRIBE.
 * @see https://redis.io/docs/latest/commands/
 */
export function openRedisStore(options: RedisStoreOptions): KeyValueStore {
  let failure: string | undefined = 'there is no connection yet';
  const [commands, listener] = [connect(options), connect(options)];
  for (const connection of [commands, listener]) {
    connection.on('error', (error: Error) => {
      failure = error.message || ((error as NodeJS.ErrnoException).code ?? 'the connection failed');
    });
    connection.on('close', () => {
      failure ??= 'the connection was closed';
    });
  }
  commands.on('ready', () => {
    failure = undefined;
  });
  return {
    get failure() {
      return failure;
    },
    get: async (key, maxBytes) => {
      const text = await commands.getrange(key, 0, maxBytes - 1);
      return text === '' ? undefined : text;
    },
    set: async (key, value, ttlMs) => {
      await commands.set(key, value, 'PX', Math.ceil(ttlMs));
    },
    setIfAbsent: async (key, value, ttlMs) =>
      (await commands.set(key, value, 'PX', Math.ceil(ttlMs), 'NX')) === 'OK',
    publish: async (channel, message) => {
      await commands.publish(channel, message);
    },
    listen: (channel, receive) => {
      // Nothing awaits the subscription: the beat in sealed-state.ts detects a failure.
      const subscribe = () => void listener.subscribe(channel).catch(() => {});
      listener.on('ready', subscribe);
      if (listener.status === 'ready') subscribe();
      listener.on('message', (_channel: string, message: string) => receive(message));
    },
    reconnect: () => {
      for (const connection of [commands, listener]) connection.disconnect(true);
    },
    close: async () => {
      for (const connection of [commands, listener]) connection.disconnect();
    },
  };
}
