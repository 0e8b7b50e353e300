import { X509Certificate } from 'node:crypto';
import { rootCertificates } from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { isTrusted } from '../../../src/site/enrolment/certificate-chain.ts';
import {
  AUTHORITY,
  AZURE_NAMES,
  type AzureSigner,
  type CertificatePlan,
  createAzureSigner,
  leafFor,
  type MadeCertificate,
  RSA,
} from '../../support/azure-signer.ts';

const DAY_MS = 24 * 3600_000;
const LEAF = leafFor(AZURE_NAMES);

let openssl: AzureSigner;
let root: MadeCertificate;
let intermediate: MadeCertificate;
let leaf: MadeCertificate;

beforeAll(async () => {
  openssl = await createAzureSigner();
  root = await openssl.make({ extensions: AUTHORITY });
  intermediate = await openssl.make({ issuer: root, extensions: AUTHORITY });
  leaf = await openssl.make({ issuer: intermediate, extensions: LEAF });
});
afterAll(() => openssl?.remove());

function trusts(
  certificate: MadeCertificate,
  intermediates: readonly MadeCertificate[],
  { roots = [root], nowMs = Date.now() }: { roots?: readonly MadeCertificate[]; nowMs?: number } = {},
): boolean {
  const read = ({ pem }: MadeCertificate) => new X509Certificate(pem);
  return isTrusted(
    read(certificate),
    { roots: roots.map(read), intermediates: intermediates.map(read) },
    nowMs,
  );
}

/** A leaf below an intermediate of this kind. */
async function below(plan: Partial<CertificatePlan>): Promise<boolean> {
  const authority = await openssl.make({ issuer: root, extensions: AUTHORITY, ...plan });
  return trusts(await openssl.make({ issuer: authority, extensions: LEAF }), [authority]);
}

test('a certificate is trusted through an intermediate, or when a root itself has issued it', async () => {
  expect(trusts(leaf, [intermediate])).toBe(true);
  expect(trusts(await openssl.make({ issuer: root, extensions: LEAF }), [])).toBe(true);
});

test('keys and signatures of RSA are trusted', async () => {
  expect(await below({ key: RSA })).toBe(true);
});

test('a certificate is refused without its intermediate, and below another root', async () => {
  const other = await openssl.make({ extensions: AUTHORITY });
  expect(trusts(leaf, [])).toBe(false);
  expect(trusts(leaf, [intermediate], { roots: [other] })).toBe(false);
  expect(trusts(leaf, [intermediate, root], { roots: [] })).toBe(false);
});

test('a certificate is refused before and after the time in which it is valid', () => {
  expect(trusts(leaf, [intermediate], { nowMs: Date.now() - DAY_MS })).toBe(false);
  expect(trusts(leaf, [intermediate], { nowMs: Date.now() + 3 * DAY_MS })).toBe(false);
});

test.each<[string, Partial<CertificatePlan>]>([
  ['that has expired', { days: -1 }],
  ['that is no authority', { extensions: LEAF }],
  [
    'that may not sign certificates',
    { extensions: ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,cRLSign'] },
  ],
  ['of which nothing says that it is an authority', { extensions: ['subjectKeyIdentifier=hash'] }],
  [
    'with a critical extension that is not obeyed',
    { extensions: [...AUTHORITY, 'nameConstraints=critical,permitted;DNS:example.org'] },
  ],
  ['with a key of 1024 bits', { key: ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:1024'] }],
  ['whose own signature is by SHA-1', { digest: 'sha1' }],
])('a certificate is refused below an intermediate %s', async (_, plan) => {
  expect(await below(plan)).toBe(false);
});

test('the path length of an intermediate limits the chain below it', async () => {
  const ending = await openssl.make({
    issuer: root,
    extensions: ['basicConstraints=critical,CA:TRUE,pathlen:0', 'keyUsage=critical,keyCertSign'],
  });
  const further = await openssl.make({ issuer: ending, extensions: AUTHORITY });
  expect(trusts(await openssl.make({ issuer: ending, extensions: LEAF }), [ending])).toBe(true);
  expect(trusts(await openssl.make({ issuer: further, extensions: LEAF }), [ending, further])).toBe(false);
});

test('a certificate that another key has signed in the name of the intermediate is refused', async () => {
  const subject = '/CN=same';
  const real = await openssl.make({ issuer: root, extensions: AUTHORITY, subject });
  const forged = await openssl.make({ extensions: AUTHORITY, subject });
  const certificate = await openssl.make({ issuer: forged, extensions: LEAF });
  expect(trusts(certificate, [real])).toBe(false);
  expect(trusts(certificate, [real, forged])).toBe(false);
});

test('the search for a root ends when intermediates issue each other', async () => {
  const subject = '/CN=circle';
  const circle = await openssl.make({ extensions: AUTHORITY, subject });
  const certificate = await openssl.make({ issuer: circle, extensions: LEAF });
  expect(trusts(certificate, [circle, circle, circle, circle])).toBe(false);
});

test('every root in the list of Node.js can be an issuer', () => {
  const roots = rootCertificates.map((pem) => new X509Certificate(pem));
  const strong = roots.filter((one) => isTrusted(one, { roots: [], intermediates: [] }, Date.now()));
  expect(strong).toEqual([]);
  const self = roots.filter((one) => isTrusted(one, { roots: [one], intermediates: [] }, Date.now()));
  expect(self.length).toBeGreaterThan(100);
});
