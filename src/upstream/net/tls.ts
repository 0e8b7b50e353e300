import { readdir, stat } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { createSecureContext, rootCertificates, type SecureContext } from 'node:tls';
import { LRUCache } from 'lru-cache';
import { entriesAtMost } from '../../lib/lru.ts';
import { readTextFile } from '../../lib/regular-file.ts';
import { SingleFlight } from '../../lib/single-flight.ts';
import { authorityOf } from '../../lib/url.ts';
import type { TlsSettings } from '../settings.ts';

/** The TLS parameters for one host. */
interface HostTls {
  readonly secureContext: SecureContext;
  readonly rejectUnauthorized: boolean;
}

/**
 * The TLS parameters for `HOST:PORT`.
 * @throws when a configured certificate cannot be read
 */
export type TlsContexts = (host: string, port: number) => Promise<HostTls>;

export interface TlsContextOptions {
  readonly settingsOf: (host: string, port: number) => TlsSettings | undefined;
  /** Directories that contain `HOST[:PORT]/{*.crt,*.cert,*.key}`, as dockerd and containerd read them. */
  readonly certificateDirs: readonly string[];
  /** Where the system's CA bundle may be. Without one, Node's own root certificates are used. */
  readonly systemAuthorityFiles: readonly string[];
  /** CA certificates trusted for every host in addition. Missing files are skipped. */
  readonly extraAuthorityFiles: readonly string[];
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

/** Where Linux distributions keep their CA bundle, in Go's order. */
export const SYSTEM_AUTHORITIES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
] as const;

/** Certificates may be renewed while the program runs: their files are checked again after this long. */
const RECHECK_MS = 60_000;

/** Limit of the known hosts: redirects can lead to any number of them. */
const HOSTS_MAX = 200;

interface Kept {
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
    // A directory that this process may not read counts as empty.
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

const readAll = (files: readonly string[]) => Promise.all(files.map((file) => readTextFile(file)));

/** All files that a TLS context is made of. */
interface Sources extends Files {
  readonly system: readonly string[];
  readonly extra: readonly string[];
}

/** Equal for the same files in the same roles: one file may be a CA certificate here and a client certificate there. */
async function fingerprintOf({ system, extra, authorities, certificate, key }: Sources): Promise<string> {
  const roles = {
    ca: [...system, ...extra, ...authorities],
    cert: certificate === undefined ? [] : [certificate],
    key: key === undefined ? [] : [key],
  };
  const all = Object.entries(roles).flatMap(([role, files]) => files.map((file) => ({ role, file })));
  const lines = all.map(async ({ role, file }) => `${role} ${await modifiedAt(file)}`);
  return (await Promise.all(lines)).join('\n');
}

/**
 * The PEM texts for `ca`. That option replaces Node's own root certificates, so these are included when the
 * system has no bundle.
 */
export async function readAuthorities({
  system,
  extra,
  authorities,
}: Pick<Sources, 'system' | 'extra' | 'authorities'>): Promise<readonly string[]> {
  const read = await readAll([...system, ...extra, ...authorities]);
  return system.length === 0 ? [...rootCertificates, ...read] : read;
}

async function build(sources: Sources): Promise<SecureContext> {
  const { certificate, key } = sources;
  const [cert] = certificate === undefined ? [] : await readAll([certificate]);
  const [privateKey] = key === undefined ? [] : await readAll([key]);
  return createSecureContext({
    ca: [...(await readAuthorities(sources))],
    ...(cert === undefined ? {} : { cert, key: privateKey ?? cert }),
  });
}

/** Reads certificates when their host is first dialled, and checks every minute whether they were renewed. */
export function createTlsContexts(options: TlsContextOptions): TlsContexts {
  const { settingsOf, certificateDirs, systemAuthorityFiles, extraAuthorityFiles, now } = options;
  const kept = new LRUCache<string, Kept>(entriesAtMost(HOSTS_MAX));
  const lookups = new SingleFlight<SecureContext>();
  const builds = new SingleFlight<SecureContext>();

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

  /** Hosts without files of their own share one context, because it contains more than a hundred certificates. */
  async function lookUp(host: string, port: number): Promise<SecureContext> {
    const [system, extra] = await Promise.all([
      existing(systemAuthorityFiles),
      existing(extraAuthorityFiles),
    ]);
    const sources = { ...(await filesOf(host, port)), system, extra };
    const fingerprint = await fingerprintOf(sources);
    const same = [...kept.values()].find((entry) => entry.fingerprint === fingerprint);
    const context = same?.context ?? (await builds.share(fingerprint, undefined, () => build(sources)));
    kept.set(`${host}:${port}`, { checkedAt: now(), fingerprint, context });
    return context;
  }

  async function contextOf(host: string, port: number): Promise<SecureContext> {
    const key = `${host}:${port}`;
    const known = kept.get(key);
    if (known && now() - known.checkedAt < RECHECK_MS) return known.context;
    return lookups.share(key, undefined, () => lookUp(host, port));
  }

  return async (host, port) => ({
    secureContext: await contextOf(host, port),
    rejectUnauthorized: settingsOf(host, port)?.skipVerify !== true,
  });
}

const SESSIONS_MAX = 200;

/** TLS sessions for resumption. Each is used only with the TLS context whose handshake verified the host. */
export function createSessionCache() {
  const sessions = new LRUCache<string, { readonly context: SecureContext; readonly session: Buffer }>({
    ...entriesAtMost(SESSIONS_MAX),
  });
  return (host: string, port: number, context: SecureContext) => {
    const key = authorityOf(host, port);
    const known = sessions.get(key);
    return {
      session: known?.context === context ? known.session : undefined,
      keep: (session: Buffer) => void sessions.set(key, { context, session }),
    };
  };
}

/**
 * Options of the TLS handshake. Both transports use HTTP/1.1; SNI is for names, not addresses. `host` is what
 * the certificate is compared with; without it Node.js would use the socket's host, which may be the proxy.
 */
export function handshakeFor(host: string): { host: string; servername?: string; ALPNProtocols: string[] } {
  return { host, ALPNProtocols: ['http/1.1'], ...(isIP(host) === 0 ? { servername: host } : {}) };
}
