import { watch } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createSecureContext } from 'node:tls';
import type { Log } from '../../lib/log.ts';
import { readRegularFile } from '../../lib/regular-file.ts';
import type { TlsKeyPair } from '../../server/server.ts';
import { UserError } from '../user-error.ts';

/** The certificate and the key that the mirror presents. They are reloaded when they are renewed. */
export interface TlsIdentity {
  readonly current: TlsKeyPair;
  /** Calls back with each pair that is complete and matches. Logs and ignores any other pair. */
  onRenewed(renew: (identity: TlsKeyPair) => void, log: Log): void;
  close(): void;
}

interface TlsFiles {
  readonly tlsCert: string | undefined;
  readonly tlsKey: string | undefined;
}

/** How long to wait after a change, in milliseconds, because a renewal writes two files. */
const SETTLE_MS = 500;

interface PemIdentity extends TlsKeyPair {
  readonly cert: Buffer;
  readonly key: Buffer;
}

async function readIdentity(certFile: string, keyFile: string): Promise<PemIdentity> {
  const [cert, key] = await Promise.all([readRegularFile(certFile), readRegularFile(keyFile)]);
  // Throws when they are not PEM or do not match, before the server gets them.
  createSecureContext({ cert, key });
  return { cert, key };
}

/**
 * Reads the certificate and key that the settings name; undefined when they name none.
 * @throws {UserError} when one of the files is missing, or when they do not match.
 */
export async function openTlsIdentity({ tlsCert, tlsKey }: TlsFiles): Promise<TlsIdentity | undefined> {
  if (tlsCert === undefined && tlsKey === undefined) return undefined;
  if (tlsCert === undefined || tlsKey === undefined) {
    throw new UserError('HTTPS needs a certificate and its key', {
      nextStep: 'Give both --tls-cert FILE and --tls-key FILE.',
      exitStatus: 2,
    });
  }
  const read = () => readIdentity(tlsCert, tlsKey);
  const current = await read().catch((cause: Error) => {
    throw new UserError(`cannot serve HTTPS with ${tlsCert} and ${tlsKey}: ${cause.message}`, {
      cause,
      nextStep: 'Both must be PEM files that this user can read, and belong together.',
      exitStatus: 2,
    });
  });
  const ended = new AbortController();
  return {
    current,
    onRenewed: (renew, log) => {
      const folders = new Set([tlsCert, tlsKey].map(dirname));
      let shown = current;
      const readNew = async () => {
        const identity = await read();
        if (identity.cert.equals(shown.cert) && identity.key.equals(shown.key)) return undefined;
        shown = identity;
        return identity;
      };
      for (const folder of folders) void follow({ folder, readNew, renew, log, signal: ended.signal });
    },
    close: () => ended.abort(),
  };
}

interface Following {
  readonly folder: string;
  /** Resolves to undefined when the pair has not changed, because the folder has other files as well. */
  readonly readNew: () => Promise<TlsKeyPair | undefined>;
  readonly renew: (identity: TlsKeyPair) => void;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Watches the folder instead of the files, because a renewal replaces files, and links to them. */
async function follow({ folder, readNew, renew, log, signal }: Following): Promise<void> {
  let settling: NodeJS.Timeout | undefined;
  const renewNow = async () => {
    try {
      const identity = await readNew();
      if (identity === undefined) return;
      renew(identity);
      log('notice', 'certificate-renewed', 'certificate renewed', { folder });
    } catch (error) {
      log(
        'warning',
        'certificate-unusable',
        'cannot use the renewed certificate: MetaHub keeps the former one',
        {
          reason: (error as Error).message,
        },
      );
    }
  };
  try {
    for await (const _ of watch(folder, { signal, persistent: false })) {
      clearTimeout(settling);
      settling = setTimeout(() => void renewNow(), SETTLE_MS).unref();
    }
  } catch (error) {
    clearTimeout(settling);
    if (signal.aborted) return;
    log(
      'warning',
      'certificate-not-watched',
      'cannot watch the certificates: restart MetaHub after a renewal',
      {
        reason: (error as Error).message,
      },
    );
  }
}
