import { X509Certificate } from 'node:crypto';
import {
  Any,
  Constructed,
  Integer,
  ObjectIdentifier,
  OctetString,
  Repeated,
  Sequence,
  Set as SetOf,
} from 'asn1js';
import { algorithmSchema, readAsn1 } from './asn1.ts';

/** A message with one signature over its content (CMS SignedData without signed attributes). */
export interface SignedMessage {
  readonly content: Buffer;
  readonly signature: Buffer;
  /** The digest algorithm, as `node:crypto` names it. */
  readonly digest: 'sha256' | 'sha384' | 'sha512';
  /** In the order of the message, and not verified. */
  readonly certificates: readonly X509Certificate[];
}

/**
 * Maximum number of certificates: those of the signer and its issuers. Reading each costs time, and the
 * client is not logged in yet.
 */
const CERTIFICATES_MAX = 4;
const SIGNED_DATA = '1.2.840.113549.1.7.2';
const DATA = '1.2.840.113549.1.7.1';
/** OID of an algorithm -> digest. Azure writes the signature algorithm where the digest algorithm belongs. */
const DIGESTS: Readonly<Record<string, SignedMessage['digest']>> = {
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
  '1.2.840.113549.1.1.11': 'sha256',
  '1.2.840.113549.1.1.12': 'sha384',
  '1.2.840.113549.1.1.13': 'sha512',
};

const tagged = (tagNumber: number) => ({ tagClass: 3, tagNumber });
const SIGNER = new Sequence({
  value: [
    new Integer(),
    new Any(),
    algorithmSchema('digest'),
    // With signed attributes (`[0]`) the signature would cover those instead of the content, so such a
    // message does not match.
    algorithmSchema(),
    new OctetString({ name: 'signature' }),
    // Attributes that no signature covers are not read.
    new Constructed({ idBlock: tagged(1), optional: true }),
  ],
});

/** @see https://www.rfc-editor.org/rfc/rfc5652#section-5.1 */
const MESSAGE = new Sequence({
  value: [
    new ObjectIdentifier({ name: 'type' }),
    new Constructed({
      idBlock: tagged(0),
      value: [
        new Sequence({
          value: [
            new Integer(),
            new SetOf({ value: [new Repeated({ value: algorithmSchema() })] }),
            new Sequence({
              value: [
                new ObjectIdentifier({ name: 'contentType' }),
                new Constructed({ idBlock: tagged(0), value: [new OctetString({ name: 'content' })] }),
              ],
            }),
            new Constructed({
              idBlock: tagged(0),
              value: [new Repeated({ name: 'certificates', value: new Sequence() })],
            }),
            new SetOf({ name: 'signers', value: [SIGNER] }),
          ],
        }),
      ],
    }),
  ],
});

/**
 * Parses a CMS message in BER.
 * @returns undefined for anything else, and for a message with several signers or signed attributes
 */
export function readSignedMessage(bytes: Uint8Array): SignedMessage | undefined {
  const parts = readAsn1(bytes, MESSAGE);
  const named = (name: string) => parts?.one(name, ObjectIdentifier)?.getValue();
  if (named('type') !== SIGNED_DATA || named('contentType') !== DATA) return undefined;
  // The schema ignores what follows the first signer.
  if (parts?.one('signers', SetOf)?.valueBlock.value.length !== 1) return undefined;
  const digest = DIGESTS[named('digest') ?? ''];
  const content = parts?.one('content', OctetString);
  const signature = parts?.one('signature', OctetString);
  const certificates = parts?.all('certificates', Sequence) ?? [];
  if (!digest || !content || !signature || certificates.length > CERTIFICATES_MAX) return undefined;
  const read = certificates.map(readCertificate);
  const readable = read.filter((one) => one !== undefined);
  if (readable.length < read.length) return undefined;
  return {
    content: Buffer.from(content.getValue()),
    signature: Buffer.from(signature.getValue()),
    digest,
    certificates: readable,
  };
}

function readCertificate({ valueBeforeDecodeView }: Sequence): X509Certificate | undefined {
  try {
    const certificate = new X509Certificate(valueBeforeDecodeView);
    // The getter throws when OpenSSL does not know the kind of key.
    return certificate.publicKey && certificate;
  } catch {
    return undefined;
  }
}
