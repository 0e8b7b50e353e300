import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createSecureContext, rootCertificates, type SecureContext } from 'node:tls';
import { LRUCache } from 'lru-cache';
import type { TlsSettings } from '../settings.ts';

/** What a TLS connection to one host is made with. */
interface HostTls {
  readonly secureContext: SecureContext;
  readonly rejectUnauthorized: boolean;
}

/** The TLS identity for `HOST:PORT`. @throws what reading its files throws: a certificate that is configured must be there. */
export type TlsContexts = (host: string, port: number) => Promise<HostTls>;

export interface TlsContextOptions {
  readonly settingsOf: (host: string, port: number) => TlsSettings | undefined;
  /** Directories of `HOST[:PORT]/{*.crt,*.cert,*.key}` as dockerd and containerd read them. */
  readonly certificateDirs: readonly string[];
  /** The system's bundle and others that are trusted for every host; missing ones are skipped. */
  readonly authorityFiles: readonly string[];
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

/** Where Linux distributions keep their bundle, as Go looks for it; the first that exists is the system's. */
export const SYSTEM_AUTHORITIES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
] as const;

/** Certificates are renewed while we run: their files are looked at again after this long. */
const RECHECK_MS = 60_000;

/** Redirects can lead to as many hosts as a registry pleases. */
const HOSTS_MAX = 200;

interface Held {
  readonly checkedAt: number;
  readonly fingerprint: string;
  readonly context: SecureContext;
}

interface Files {
  readonly authorities: readonly string[];
  readonly certificate?: string | undefined;
  readonly key?: string | undefined;
}

async function filesIn(directory: string): Promise<Files | undefined> {
  let names: readonly string[];
  try {
    names = (await readdir(directory)).sort();
  } catch (error) {
    // A directory that this process may not read holds nothing that was meant for it.
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES') return undefined;
    throw error;
  }
  const first = (extension: string) => {
    const name = names.find((candidate) => candidate.endsWith(extension));
    return name === undefined ? undefined : join(directory, name);
  };
  const authorities = names.filter((name) => name.endsWith('.crt')).map((name) => join(directory, name));
  return { authorities, certificate: first('.cert'), key: first('.key') };
}

async function modifiedAt(file: string): Promise<string> {
  const { mtimeMs, size } = await stat(file);
  return `${file} ${mtimeMs} ${size}`;
}

async function existing(files: readonly string[]): Promise<readonly string[]> {
  const found = await Promise.all(
    files.map((file) =>
      stat(file).then(
        () => file,
        () => undefined,
      ),
    ),
  );
  return found.filter((file) => file !== undefined);
}

const readAll = (files: readonly string[]) => Promise.all(files.map((file) => readFile(file, 'utf8')));

/** Reads certificates when their host is first dialled, and looks once a minute whether they have been renewed. */
export function createTlsContexts(options: TlsContextOptions): TlsContexts {
  const { settingsOf, certificateDirs, authorityFiles, now } = options;
  const held = new LRUCache<string, Held>({ max: HOSTS_MAX });

  async function filesOf(host: string, port: number): Promise<Files> {
    const settings = settingsOf(host, port);
    if (settings?.caFile || settings?.certFile) {
      const authorities = settings.caFile === undefined ? [] : [settings.caFile];
      return { authorities, certificate: settings.certFile, key: settings.keyFile };
    }
    for (const directory of certificateDirs) {
      for (const name of [`${host}:${port}`, ...(port === 443 ? [host] : [])]) {
        const files = await filesIn(join(directory, name));
        if (files) return files;
      }
    }
    return { authorities: [] };
  }

  async function build(files: Files): Promise<SecureContext> {
    const system = await existing(authorityFiles);
    const authorities = await readAll([...system, ...files.authorities]);
    const [cert] = files.certificate === undefined ? [] : await readAll([files.certificate]);
    const [key] = files.key === undefined ? [] : await readAll([files.key]);
    return createSecureContext({
      // `ca` replaces Node's own roots, so they stand in where the system has no bundle.
      ca: system.length === 0 ? [...rootCertificates, ...authorities] : authorities,
      ...(cert === undefined ? {} : { cert, key: key ?? cert }),
    });
  }

  /** Hosts without files of their own share one context: it holds a hundred and more roots. */
  async function contextOf(host: string, port: number): Promise<SecureContext> {
    const key = `${host}:${port}`;
    const known = held.get(key);
    if (known && now() - known.checkedAt < RECHECK_MS) return known.context;
    const files = await filesOf(host, port);
    const own = [...files.authorities, files.certificate, files.key].filter((file) => file !== undefined);
    const all = [...(await existing(authorityFiles)), ...own];
    const fingerprint = (await Promise.all(all.map(modifiedAt))).join('\n');
    const same = [...held.values()].find((entry) => entry.fingerprint === fingerprint);
    const context = same?.context ?? (await build(files));
    held.set(key, { checkedAt: now(), fingerprint, context });
    return context;
  }

  return async (host, port) => ({
    secureContext: await contextOf(host, port),
    rejectUnauthorized: settingsOf(host, port)?.skipVerify !== true,
  });
}
