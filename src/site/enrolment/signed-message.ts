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
  /** As `node:crypto` names it. */
  readonly digest: 'sha256' | 'sha384' | 'sha512';
  /** In the order of the message; nothing about them is verified. */
  readonly certificates: readonly X509Certificate[];
}

/** The signer's and those of its issuers; each further one would be work for whoever is not even logged in. */
const CERTIFICATES_MAX = 4;
const SIGNED_DATA = '1.2.840.113549.1.7.2';
const DATA = '1.2.840.113549.1.7.1';
/** Azure writes the algorithm of the signature in the place of the digest's. */
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
    // [0] would be signed attributes, over which the signature is then made: such a message does not fit.
    algorithmSchema(),
    new OctetString({ name: 'signature' }),
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
            new SetOf({ value: [SIGNER] }),
          ],
        }),
      ],
    }),
  ],
});

/** Reads a message in BER. @returns undefined when it is anything else, or has several signers or signed attributes */
export function readSignedMessage(bytes: Uint8Array): SignedMessage | undefined {
  const parts = readAsn1(bytes, MESSAGE);
  const named = (name: string) => parts?.one(name, ObjectIdentifier)?.getValue();
  if (named('type') !== SIGNED_DATA || named('contentType') !== DATA) return undefined;
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
    // Reading the key throws when OpenSSL does not know its kind.
    return certificate.publicKey && certificate;
  } catch {
    return undefined;
  }
}
