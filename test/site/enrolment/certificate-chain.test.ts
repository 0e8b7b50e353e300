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

test('a critical extension is obeyed or refused at every place of a chain', async () => {
  const withUnknown = (extensions: readonly string[], how = '') => [
    ...extensions,
    `1.2.3.4=${how}ASN1:UTF8String:unknown`,
  ];
  const ofLeaf = async (extensions: readonly string[]) =>
    trusts(await openssl.make({ issuer: root, extensions }), []);
  expect(await below({ extensions: withUnknown(AUTHORITY) })).toBe(true);
  expect(await below({ extensions: withUnknown(AUTHORITY, 'critical,') })).toBe(false);
  expect(await ofLeaf(withUnknown(LEAF))).toBe(true);
  expect(await ofLeaf(withUnknown(LEAF, 'critical,'))).toBe(false);
  // Where the subject is empty, the name must be critical (RFC 5280, section 4.2.1.6).
  expect(await ofLeaf(['subjectAltName=critical,DNS:metadata.azure.com'])).toBe(true);
});

test('a certificate without extensions is refused', async () => {
  const extensions = ['subjectKeyIdentifier=none', 'authorityKeyIdentifier=none'];
  const certificate = await openssl.make({ issuer: root, extensions });
  // Identifiers of the standard extensions begin with 2.5.29.
  const { raw } = new X509Certificate(certificate.pem);
  expect(raw.includes(Buffer.from([0x55, 29]))).toBe(false);
  expect(trusts(certificate, [])).toBe(false);
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

test('at most four intermediates stand between a certificate and its root', async () => {
  const chain = [await openssl.make({ issuer: root, extensions: AUTHORITY })];
  for (let at = 1; at < 5; at += 1) {
    chain.push(await openssl.make({ issuer: chain.at(-1) as MadeCertificate, extensions: AUTHORITY }));
  }
  const leafBelow = (count: number) =>
    openssl.make({ issuer: chain[count - 1] as MadeCertificate, extensions: LEAF });
  expect(trusts(await leafBelow(4), chain)).toBe(true);
  expect(trusts(await leafBelow(5), chain)).toBe(false);
});

test('a certificate is trusted from the first second of its time to the last, and its authorities too', () => {
  const read = (one: MadeCertificate) => new X509Certificate(one.pem);
  // The leaf is made last, and expires last.
  const fromMs = Date.parse(read(leaf).validFrom);
  const untilMs = Date.parse(read(root).validTo);
  expect([fromMs, untilMs].map((nowMs) => trusts(leaf, [intermediate], { nowMs }))).toEqual([true, true]);
  expect([fromMs - 1, untilMs + 1].map((nowMs) => trusts(leaf, [intermediate], { nowMs }))).toEqual([
    ...[false, false],
  ]);
});

test('a certificate is refused when its root has expired, or has a weak key', async () => {
  const expired = await openssl.make({ extensions: AUTHORITY, days: -1 });
  const weak = await openssl.make({
    extensions: AUTHORITY,
    key: ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:1024'],
  });
  for (const issuer of [expired, weak]) {
    const below = await openssl.make({ issuer, extensions: LEAF });
    expect(trusts(below, [], { roots: [issuer] })).toBe(false);
    expect(trusts(below, [], { roots: [issuer, root] })).toBe(false);
  }
});

test.each([
  ['RSA of 2047 bits', ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2047'], false],
  ['RSA of 2048 bits', RSA, true],
  ['Ed25519', ['-algorithm', 'ED25519'], false],
])('a certificate with a key of %s is trusted: %j', async (_, key, isTrusted) => {
  expect(trusts(await openssl.make({ issuer: root, extensions: LEAF, key }), [])).toBe(isTrusted);
});

test.each(['sha256', 'sha384', 'sha512', 'sha1', 'sha224'])(
  'signatures by ECDSA and RSA with %s',
  async (digest) => {
    const rsaRoot = await openssl.make({ extensions: AUTHORITY, key: RSA });
    for (const issuer of [root, rsaRoot]) {
      const signed = await openssl.make({ issuer, extensions: LEAF, digest });
      expect(trusts(signed, [], { roots: [issuer] })).toBe(!['sha1', 'sha224'].includes(digest));
    }
  },
);

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
