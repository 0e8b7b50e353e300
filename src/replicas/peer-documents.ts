import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import * as v from 'valibot';
import type { Schema } from '../lib/schema.ts';
import type { SharedState } from '../lib/shared-state.ts';

/** One document for each replica, which all replicas can read. */
export interface PeerDocuments<T> {
  /** The last published documents of the other replicas. */
  others(): readonly T[];
  /** Publishes this replica's document within `delayMs`. */
  publishSoon(): void;
  /** Publishes a pending change at once. */
  close(): Promise<void>;
}

export interface PeerDocumentsOptions<T> {
  readonly state: SharedState;
  readonly name: string;
  readonly schema: Schema<T>;
  /** Id of this replica. It stays the same over restarts, so that a new document replaces the old one. */
  readonly replica: string;
  /** Returns this replica's current document; undefined: it has none. */
  readonly own: () => unknown;
  readonly delayMs: number;
}

/** How long Redis keeps the document of a replica that has stopped, in milliseconds. */
const TTL_MS = 7 * 24 * 60 * 60_000;
const PEERS_MAX = 64;
/** Combines changes of a document within this time into one read, in milliseconds. */
const READ_MS = 200;

const REPLICA = v.pipe(v.string(), v.regex(/^[0-9a-f]{16}$/));
const CHANGE = v.object({ replica: REPLICA });

/** Derives the id of a replica from its host name and data directory, which stay the same over restarts. */
export function replicaId(hostName: string, data: string): string {
  return createHash('sha256')
    .update(JSON.stringify([hostName, data]))
    .digest('hex')
    .slice(0, 16);
}

/** Shares this replica's document with the other replicas, and receives theirs. */
export function sharePeerDocuments<T>(options: PeerDocumentsOptions<T>): PeerDocuments<T> {
  const { state, name, schema, replica, own, delayMs } = options;
  const documents = new LRUCache<string, { readonly document: T }>({ max: PEERS_MAX });
  const reading = new Map<string, NodeJS.Timeout>();
  let publishTimer: NodeJS.Timeout | undefined;

  async function publish(): Promise<void> {
    clearTimeout(publishTimer);
    publishTimer = undefined;
    const document = own();
    if (document === undefined) return;
    // When Redis is unreachable, onReturn publishes the document.
    const isSet = await state.set(`${name}:${replica}`, document, TTL_MS, 'background');
    if (isSet) await state.publish(`${name} changed`, { replica });
  }

  const publishAfter = (delay: number) => {
    publishTimer ??= setTimeout(() => void publish(), delay).unref();
  };

  async function read(peer: string): Promise<void> {
    reading.delete(peer);
    const document = await state.get(`${name}:${peer}`, schema, 'background');
    if (document !== undefined) documents.set(peer, { document });
  }

  state.subscribe(`${name} changed`, CHANGE, ({ replica: peer }) => {
    if (peer === replica || reading.has(peer) || reading.size >= PEERS_MAX) return;
    reading.set(peer, setTimeout(() => void read(peer), READ_MS).unref());
  });
  // A replica that has just connected has no documents of the others, and they have none of it.
  state.subscribe(`${name} wanted`, v.null(), () => publishAfter(READ_MS));
  state.onReturn(() => {
    publishAfter(0);
    void state.publish(`${name} wanted`, null);
  });

  return {
    others: () => [...documents.values()].map(({ document }) => document),
    publishSoon: () => publishAfter(delayMs),
    close: async () => {
      if (publishTimer !== undefined) await publish();
      for (const timer of reading.values()) clearTimeout(timer);
    },
  };
}
