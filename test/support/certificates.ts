import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface IssuedCertificate {
  readonly cert: string;
  readonly key: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** A certificate authority for one test, created by openssl. */
export interface TestAuthority {
  readonly cert: string;
  readonly certFile: string;
  /** Issues a certificate for host names or IPv4 addresses. Default: valid for two days; `expired` is in the past. */
  issue(
    names: string | readonly string[],
    options?: { readonly expired?: boolean; readonly days?: number },
  ): Promise<IssuedCertificate>;
  remove(): Promise<void>;
}

const EC_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

export async function createAuthority(): Promise<TestAuthority> {
  const directory = await mkdtemp(join(tmpdir(), 'metahub-authority-'));
  const at = (name: string) => join(directory, name);
  const [certFile, keyFile] = [at('ca.crt'), at('ca.key')];
  await run('openssl', [
    ...['req', '-x509', ...EC_KEY, '-days', '2', '-subj', '/CN=MetaHub test authority'],
    ...['-addext', 'basicConstraints=critical,CA:TRUE', '-keyout', keyFile, '-out', certFile],
  ]);

  async function issue(
    names: string | readonly string[],
    { expired = false, days = 2 } = {},
  ): Promise<IssuedCertificate> {
    const [name = '', ...more] = [names].flat();
    const stem = `${name}${expired ? '-expired' : ''}`;
    const files = { certFile: at(`${stem}.cert`), keyFile: at(`${stem}.key`) };
    const subjectAltName = [name, ...more].map((n) => `${/^[\d.]+$/.test(n) ? 'IP' : 'DNS'}:${n}`).join();
    await run('openssl', [
      'req',
      '-new',
      ...EC_KEY,
      '-subj',
      `/CN=${name}`,
      '-keyout',
      files.keyFile,
      '-out',
      at('csr'),
    ]);
    await writeFile(at('extensions'), `subjectAltName=${subjectAltName}\n`);
    await run('openssl', [
      ...['x509', '-req', '-in', at('csr'), '-CA', certFile, '-CAkey', keyFile, '-CAcreateserial'],
      // A negative number of days: the validity ended before it began.
      ...['-days', expired ? '-1' : String(days), '-extfile', at('extensions'), '-out', files.certFile],
    ]);
    return {
      ...files,
      cert: await readFile(files.certFile, 'utf8'),
      key: await readFile(files.keyFile, 'utf8'),
    };
  }

  return {
    cert: await readFile(certFile, 'utf8'),
    certFile,
    issue,
    remove: () => rm(directory, { recursive: true, force: true }),
  };
}

/** A self-signed RSA certificate, like those that clouds publish for their signatures. */
export async function selfSigned(name: string): Promise<Pick<IssuedCertificate, 'cert' | 'key'>> {
  const directory = await mkdtemp(join(tmpdir(), 'metahub-certificate-'));
  const [certFile, keyFile] = [join(directory, 'cert'), join(directory, 'key')];
  const key = ['-newkey', 'rsa:2048', '-nodes', '-keyout', keyFile];
  await run('openssl', ['req', '-x509', ...key, '-days', '2', '-subj', `/CN=${name}`, '-out', certFile]);
  const [cert, privateKey] = await Promise.all([readFile(certFile, 'utf8'), readFile(keyFile, 'utf8')]);
  await rm(directory, { recursive: true });
  return { cert, key: privateKey };
}
