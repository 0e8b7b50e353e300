import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from './processes.ts';

/** A certificate and its key, in PEM files. */
export interface SigningFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

/** A certificate that openssl has created. */
export interface MadeCertificate extends SigningFiles {
  readonly pem: string;
}

export interface CertificatePlan {
  /** Default: the certificate signs itself. */
  readonly issuer?: MadeCertificate;
  /** Lines of openssl's extension section. */
  readonly extensions: readonly string[];
  readonly subject?: string;
  /** Words of `openssl genpkey`. Default: P-256, which is fast. */
  readonly key?: readonly string[];
  /** The digest algorithm of its own signature. */
  readonly digest?: string;
  readonly days?: number;
}

export const AUTHORITY = ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign'];
export const AZURE_NAMES = ['metadata.azure.com', 'westeurope.metadata.azure.com'];

/** The extensions of Azure's certificates. */
export function leafFor(names: readonly string[]): readonly string[] {
  return [
    ...['basicConstraints=critical,CA:FALSE', 'keyUsage=critical,digitalSignature,keyEncipherment'],
    `subjectAltName=${names.map((name) => `DNS:${name}`).join()}`,
  ];
}

/** openssl as any certificate authority, and as the signer of Azure's documents. */
export interface AzureSigner {
  make(plan: CertificatePlan): Promise<MadeCertificate>;
  /** Base64 of a document with this content, in Azure's format. `args` are further words of `openssl cms -sign`. */
  sign(content: string, signer: SigningFiles, args?: readonly string[]): Promise<string>;
  remove(): Promise<void>;
}

/** The key type of Azure. */
export const RSA = ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048'];
const P256 = ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256'];
const SHA256 = Buffer.from('0609608648016503040201', 'hex');
const SHA256_WITH_RSA = Buffer.from('06092a864886f70d01010b', 'hex');

/** Azure writes the signature algorithm in place of the digest algorithm; both identifiers have the same length. */
function asAzureWrites(message: Buffer): Buffer {
  const written = Buffer.from(message);
  for (let at = written.indexOf(SHA256); at >= 0; at = written.indexOf(SHA256, at + 1)) {
    SHA256_WITH_RSA.copy(written, at);
  }
  return written;
}

export async function createAzureSigner(): Promise<AzureSigner> {
  const directory = await mkdtemp(join(tmpdir(), 'metahub-azure-'));
  let made = 0;
  const nextFile = () => join(directory, String(made++));
  return {
    async make({
      issuer,
      extensions,
      subject = `/CN=test ${made}`,
      key = P256,
      digest = 'sha256',
      days = 2,
    }) {
      const [stem, file] = [nextFile(), nextFile()];
      const [certFile, keyFile] = [`${stem}.pem`, `${stem}.key`];
      await run('openssl', ['genpkey', '-quiet', ...key, '-out', keyFile]);
      await run('openssl', ['req', '-new', '-key', keyFile, '-subj', subject, '-out', `${stem}.csr`]);
      await writeFile(file, extensions.join('\n'));
      const by =
        issuer === undefined ? ['-key', keyFile] : ['-CA', issuer.certFile, '-CAkey', issuer.keyFile];
      await run('openssl', [
        ...['x509', '-req', '-in', `${stem}.csr`, ...by, `-${digest}`, '-days', String(days)],
        ...['-extfile', file, '-out', certFile],
      ]);
      return { certFile, keyFile, pem: await readFile(certFile, 'utf8') };
    },
    async sign(content, { certFile, keyFile }, args = ['-noattr']) {
      const [input, output] = [nextFile(), nextFile()];
      await writeFile(input, content);
      await run('openssl', [
        ...['cms', '-sign', '-binary', '-nodetach', ...args, '-md', 'sha256', '-signer', certFile],
        ...['-inkey', keyFile, '-in', input, '-outform', 'DER', '-out', output],
      ]);
      return asAzureWrites(await readFile(output)).toString('base64');
    },
    remove: () => rm(directory, { recursive: true, force: true }),
  };
}
