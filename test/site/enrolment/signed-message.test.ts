import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { rootCertificates } from 'node:tls';
import { describe, expect, test } from 'vitest';
import { readSignedMessage } from '../../../src/site/enrolment/signed-message.ts';
import {
  der,
  integer,
  type MessageParts,
  OIDS,
  octets,
  oid,
  sequence,
  setOf,
  tagged,
  writeSignedMessage,
} from '../../support/signed-message.ts';

/** Some certificates; none of them has signed anything here. */
const CERTIFICATES = rootCertificates.slice(0, 5).map((pem) => new X509Certificate(pem));
const certificates = (count: number) => CERTIFICATES.slice(0, count).map(({ raw }) => raw);
const PARTS = { content: 'content', certificates: certificates(1) };
const read = (parts: MessageParts = {}) => readSignedMessage(writeSignedMessage({ ...PARTS, ...parts }));

test('a message is parsed into content, signature, digest algorithm and certificates', () => {
  const message = read({ certificates: certificates(2) });
  expect(message).toEqual({
    content: Buffer.from('content'),
    signature: Buffer.from('signature'),
    digest: 'sha256',
    certificates: [expect.any(X509Certificate), expect.any(X509Certificate)],
  });
  const fingerprints = (read: readonly X509Certificate[] = []) => read.map((one) => one.fingerprint256);
  expect(fingerprints(message?.certificates)).toEqual(fingerprints(CERTIFICATES.slice(0, 2)));
});

test.each([
  ['sha256', 'sha256'],
  ['sha384', 'sha384'],
  ['sha512', 'sha512'],
  // Azure writes these in place of the digest algorithm.
  ['sha256WithRsa', 'sha256'],
  ['sha384WithRsa', 'sha384'],
  ['sha512WithRsa', 'sha512'],
  ['sha1', undefined],
  ['md5', undefined],
  ['sha224', undefined],
  ['sha1WithRsa', undefined],
  ['rsaEncryption', undefined],
] as const)('a message with the digest algorithm %s has the digest %s', (name, digest) => {
  expect(read({ digest: OIDS[name] })?.digest).toBe(digest);
});

const algorithm = (id: string) => sequence(oid(id), der(0x05));
const attribute = sequence(oid('1.2.840.113549.1.9.3'), setOf(oid(OIDS.data)));
const ed448 = generateKeyPairSync('ed448').publicKey.export({ format: 'der', type: 'spki' });

describe('a message is refused', () => {
  test.each<[string, MessageParts]>([
    // RFC 5652, sections 4 to 8.
    ['whose type is data', { type: OIDS.data }],
    ['whose type is enveloped data', { type: '1.2.840.113549.1.7.3' }],
    ['whose type is PKCS #7’s signed and enveloped data', { type: '1.2.840.113549.1.7.4' }],
    ['whose type is authenticated data', { type: '1.2.840.113549.1.9.16.1.2' }],
    ['with content of another type: signed data', { contentType: OIDS.signedData }],
    ['with content of another type: encrypted data', { contentType: '1.2.840.113549.1.7.6' }],
    // RFC 3161.
    ['with content of another type: a time stamp', { contentType: '1.2.840.113549.1.9.16.1.4' }],
    ['without content', { contentField: [] }],
    ['with content that is no octet string', { contentField: [tagged(0, integer(1))] }],
    ['with content under another tag', { contentField: [tagged(1, octets(Buffer.from('content')))] }],
    ['without the field of certificates', { certificateField: [] }],
    ['with lists of revoked certificates in their place', { certificateField: [tagged(1, sequence())] }],
    ['with a number among its certificates', { certificateField: [tagged(0, sequence(), integer(1))] }],
    ['with an empty certificate', { certificates: [...certificates(1), sequence()] }],
    ['with a certificate that is none', { certificates: [sequence(integer(1)), ...certificates(1)] }],
    ['with a public key as a certificate', { certificates: [ed448] }],
    ['with five certificates', { certificates: certificates(5) }],
    ['without signer', { signers: 0 }],
    ['with two signers', { signers: 2 }],
    ['with signed attributes', { signedAttributes: [tagged(0, attribute)] }],
    // RFC 5652 names no part behind the last ones.
    ['with an element behind its last one', { afterMessage: [integer(1)] }],
    ['with an element behind the signers', { afterSigners: [setOf()] }],
    ['with an element behind the content', { afterContent: [octets(Buffer.from('other'))] }],
    ['with two contents', { contentField: [tagged(0, octets(Buffer.from('a')), octets(Buffer.from('b')))] }],
    ['with other elements behind the signature', { unsignedAttributes: [tagged(2, attribute)] }],
    ['with unsigned attributes twice', { unsignedAttributes: [tagged(1, attribute), tagged(1, attribute)] }],
    ['with two digest algorithms', { signedAttributes: [algorithm(OIDS.sha256)] }],
  ])('%s', (_, parts) => {
    expect(read()).toBeDefined();
    expect(read(parts)).toBeUndefined();
  });

  test.each<[string, Buffer]>([
    ['of no bytes', Buffer.alloc(0)],
    ['with bytes behind it', Buffer.concat([writeSignedMessage(PARTS), Buffer.alloc(1)])],
    ['twice', Buffer.concat([writeSignedMessage(PARTS), writeSignedMessage(PARTS)])],
    ['that lacks its last byte', writeSignedMessage(PARTS).subarray(0, -1)],
    ['that is a number', integer(1)],
    ['that is a sequence of nothing', sequence()],
    ['that is the content alone', octets(Buffer.from('content'))],
    ['that is only its type', sequence(oid(OIDS.signedData))],
    ['whose type stands in another sequence', sequence(sequence(oid(OIDS.signedData)))],
  ])('%s', (_, bytes) => {
    expect(readSignedMessage(bytes)).toBeUndefined();
  });
});

test('a message may have unsigned attributes, which are not read', () => {
  expect(read({ unsignedAttributes: [tagged(1, attribute)] })).toEqual(read());
});

test.each([0, 1, 4])('a message has up to four certificates: %i', (count) => {
  expect(read({ certificates: certificates(count) })?.certificates).toHaveLength(count);
});
