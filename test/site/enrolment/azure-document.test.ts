import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { rootCertificates } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { azureInstance } from '../../../src/site/enrolment/azure-identity.ts';
import { azureNonce } from '../../../src/site/enrolment/azure-nonce.ts';
import {
  AUTHORITY,
  AZURE_NAMES,
  type AzureSigner,
  createAzureSigner,
  leafFor,
  type MadeCertificate,
  RSA,
} from '../../support/azure-signer.ts';
import { azureTime } from '../../support/metadata-service.ts';
import { type MessageParts, OIDS, signMessage } from '../../support/signed-message.ts';

/** Attested documents of Azure with every field, digest and certificate in turn, signed in this process. */

const ORIGIN = 'https://hub.example.org';
const ANSWER = { challenge: 'a challenge', secret: 's'.repeat(43) };
const NONCE = azureNonce(ANSWER, ORIGIN);
const NOW_MS = Math.floor(Date.now() / 1000) * 1000 + 60_000;
const ID = '8d10da13-8125-4ba9-a717-bf7490507b3d';
const CREATED = azureTime(NOW_MS);
const EXPIRES = azureTime(NOW_MS + 6 * 3600_000);

let openssl: AzureSigner;
let root: MadeCertificate;
let signer: MadeCertificate;
let rsaSigner: MadeCertificate;
beforeAll(async () => {
  openssl = await createAzureSigner();
  root = await openssl.make({ extensions: AUTHORITY });
  signer = await openssl.make({ issuer: root, extensions: leafFor(AZURE_NAMES) });
  rsaSigner = await openssl.make({ issuer: root, extensions: leafFor(AZURE_NAMES), key: RSA });
});
afterAll(() => openssl?.remove());

const derOf = ({ pem }: MadeCertificate) => new X509Certificate(pem).raw;

interface Signing extends MessageParts {
  readonly by?: MadeCertificate;
  /** The algorithm of the signature itself. */
  readonly hash?: string;
}

/** What a site reads in a document with this content. */
function instanceOf(content: object, { by = signer, hash = 'sha256', ...parts }: Signing = {}) {
  const key = readFileSync(by.keyFile, 'utf8');
  const written = { certificates: [derOf(by)], content: JSON.stringify(content), ...parts };
  const document = signMessage(key, hash, written);
  const context = { audience: ORIGIN, nowMs: NOW_MS, challengedMs: () => NOW_MS };
  return azureInstance({ document, ...ANSWER }, root.pem, context);
}

/** The content of a document in which the field at this path has another value. */
function contentWith(path: string, value: unknown): object {
  const timeStamp: Record<string, unknown> = { createdOn: CREATED, expiresOn: EXPIRES };
  const content: Record<string, unknown> = { nonce: NONCE, subscriptionId: ID, vmId: ID, timeStamp };
  const [field = '', member] = path.split('.');
  if (member === undefined) content[field] = value;
  else timeStamp[member] = value;
  return content;
}
const CONTENT = contentWith('nonce', NONCE);

const FIELDS = ['nonce', 'subscriptionId', 'vmId', 'timeStamp', 'timeStamp.createdOn', 'timeStamp.expiresOn'];
test('a nonce has ten digits, also where it begins with zeros', () => {
  const nonces = Array.from({ length: 500 }, (_, at) => {
    const challenge = String(at);
    const hash = createHash('sha256').update(`${ANSWER.secret}\n${challenge}\n${ORIGIN}`).digest('hex');
    const digits = String(BigInt(`0x${hash.slice(0, 16)}`) % 10_000_000_000n);
    const nonce = azureNonce({ ...ANSWER, challenge }, ORIGIN);
    expect(nonce).toBe('0'.repeat(10 - digits.length) + digits);
    return nonce;
  });
  expect(nonces.filter((nonce) => nonce.startsWith('0')).length).toBeGreaterThan(0);
});

test.each(['URI:https://metadata.azure.com', 'email:x@metadata.azure.com', 'DNS:x'])(
  'a certificate for %s alone is not Azure’s',
  async (name) => {
    const by = await openssl.make({ issuer: root, extensions: [`subjectAltName=${name}`] });
    expect(instanceOf(CONTENT, { by })).toBeUndefined();
  },
);

describe.each(FIELDS)('the field %s', (path) => {
  test.each([[undefined], [null], [7], [true], [''], [[]], [{}], [[ID]]])('is not %j', (value) => {
    expect(instanceOf(CONTENT)).toBeDefined();
    expect(instanceOf(contentWith(path, value))).toBeUndefined();
  });
});

describe.each(['subscriptionId', 'vmId'])('%s', (path) => {
  test('is a UUID in letters of either case', () => {
    for (const written of [ID, ID.toUpperCase(), `${ID.slice(0, -1)}D`]) {
      expect(instanceOf(contentWith(path, written))).toEqual({
        ...{ cloud: 'azure', owner: ID, id: ID, kind: ID, region: 'westeurope', sinceMs: NOW_MS },
      });
    }
  });

  const groups = ID.split('-');
  const withGroup = (at: number, change: (group: string) => string) =>
    groups.map((group, index) => (index === at ? change(group) : group)).join('-');
  test.each([
    ...groups.flatMap((_, at) => [
      [`a digit too few in group ${at + 1}`, withGroup(at, (group) => group.slice(1))],
      [`a digit too many in group ${at + 1}`, withGroup(at, (group) => `${group}0`)],
      [`a letter that is no digit in group ${at + 1}`, withGroup(at, (group) => `g${group.slice(1)}`)],
    ]),
    ['a group too few', groups.slice(1).join('-')],
    ['a group too many', `${ID}-bf7490507b3d`],
    ['something before it', `x${ID}`],
    ['something after it', `${ID}x`],
    ['a path before it', `../${ID}`],
    ['a path after it', `${ID}/..`],
    ['a line end after it', `${ID}\n`],
    ['a line before it', `x\n${ID}`],
    ['braces', `{${ID}}`],
    ['no hyphens', groups.join('')],
  ])('has not %s', (_, written) => {
    expect(instanceOf(contentWith(path, written))).toBeUndefined();
  });
});

describe.each(['createdOn', 'expiresOn'])('the time %s', (member) => {
  const path = `timeStamp.${member}`;
  const valid = member === 'createdOn' ? CREATED : EXPIRES;
  const digits = [...valid.matchAll(/\d/g)].map(({ index }) => index);
  const put = (at: number, text: string, length = 1) => valid.slice(0, at) + text + valid.slice(at + length);

  test('has digits in its places', () => {
    expect(digits).toHaveLength(16);
    expect(instanceOf(contentWith(path, valid))?.sinceMs).toBe(NOW_MS);
    for (const at of digits) {
      for (const written of [put(at, 'x'), put(at, ''), put(at, ' ')])
        expect(instanceOf(contentWith(path, written)), written).toBeUndefined();
    }
  });

  test.each([
    ['something before it', `0${valid}`],
    ['a space before it', ` ${valid}`],
    ['a line before it', `x\n${valid}`],
    ['something after it', `${valid}0`],
    ['a line end after it', `${valid}\n`],
    ['another zone', valid.replace('-0000', '+0000')],
    ['a zone an hour away', valid.replace('-0000', '-0100')],
    ['no zone', valid.slice(0, -6)],
    ['the century', put(6, '20', 0)],
    ['month 0', put(0, '00', 2)],
    ['month 13', put(0, '13', 2)],
    ['day 0', put(3, '00', 2)],
    ['day 32', put(3, '32', 2)],
    ['hour 25', put(9, '25', 2)],
    ['minute 60', put(12, '60', 2)],
    ['second 60', put(15, '60', 2)],
  ])('has not %s', (_, written) => {
    expect(written).not.toBe(valid);
    expect(instanceOf(contentWith(path, written))).toBeUndefined();
  });
});

describe.each([
  ['ECDSA', () => signer],
  ['RSA', () => rsaSigner],
])('a signature by %s', (_, by) => {
  test.each([
    ['sha256', OIDS.sha256, true],
    ['sha384', OIDS.sha384, true],
    ['sha512', OIDS.sha512, true],
    ['sha256', OIDS.sha256WithRsa, true],
    ['sha384', OIDS.sha384WithRsa, true],
    ['sha512', OIDS.sha512WithRsa, true],
    ['sha1', OIDS.sha1, false],
    ['sha1', OIDS.sha1WithRsa, false],
    ['md5', OIDS.md5, false],
    ['sha224', OIDS.sha224, false],
    // The algorithm that the message names counts.
    ['sha512', OIDS.sha256, false],
    ['sha256', OIDS.sha512, false],
    ['sha1', OIDS.sha256, false],
  ])('with %s under the identifier %s is valid: %j', (hash, digest, isValid) => {
    expect(instanceOf(CONTENT, { by: by(), hash, digest }) !== undefined).toBe(isValid);
  });
});

test('a content of another type than data is refused', () => {
  expect(instanceOf(CONTENT, { contentType: OIDS.data })).toBeDefined();
  for (const contentType of [OIDS.signedData, '1.2.840.113549.1.9.16.1.4'])
    expect(instanceOf(CONTENT, { contentType })).toBeUndefined();
});

test('the certificate of the signer is found at any place among those of the message', () => {
  const unrelated = rootCertificates.slice(0, 2).map((pem) => new X509Certificate(pem).raw);
  const own = derOf(signer);
  for (const certificates of [
    [own, derOf(root), ...unrelated],
    [derOf(root), own, ...unrelated],
    [...unrelated, derOf(root), own],
  ]) {
    expect(instanceOf(CONTENT, { certificates })?.region).toBe('westeurope');
  }
  for (const certificates of [[], [derOf(root)], [derOf(rsaSigner)], unrelated, [own, own, own, own, own]])
    expect(instanceOf(CONTENT, { certificates })).toBeUndefined();
});
