import { sign } from 'node:crypto';

/** An element in DER. @param tag its identifier octet */
export function der(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(contents);
  const size = content.length;
  const length = size < 0x80 ? [size] : size < 0x1_00 ? [0x81, size] : [0x82, size >> 8, size & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
}

export const sequence = (...parts: readonly Uint8Array[]) => der(0x30, ...parts);
export const setOf = (...parts: readonly Uint8Array[]) => der(0x31, ...parts);
export const integer = (value: number) => der(0x02, Buffer.from([value]));
export const octets = (bytes: Uint8Array) => der(0x04, bytes);
/** `[n]` of a constructed element. */
export const tagged = (number: number, ...parts: readonly Uint8Array[]) => der(0xa0 + number, ...parts);

/** An object identifier, `1.2.840.113549.1.7.1`. */
export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...others] = dotted.split('.').map(Number);
  const bytes = [first * 40 + second, ...others].flatMap((arc) => {
    const digits = [arc & 0x7f];
    for (let rest = arc >> 7; rest > 0; rest >>= 7) digits.unshift((rest & 0x7f) | 0x80);
    return digits;
  });
  return der(0x06, Buffer.from(bytes));
}

/** The object identifiers of RFC 5652, RFC 5754 and RFC 8017. */
export const OIDS = {
  data: '1.2.840.113549.1.7.1',
  signedData: '1.2.840.113549.1.7.2',
  sha256: '2.16.840.1.101.3.4.2.1',
  sha384: '2.16.840.1.101.3.4.2.2',
  sha512: '2.16.840.1.101.3.4.2.3',
  sha224: '2.16.840.1.101.3.4.2.4',
  sha1: '1.3.14.3.2.26',
  md5: '1.2.840.113549.2.5',
  rsaEncryption: '1.2.840.113549.1.1.1',
  sha1WithRsa: '1.2.840.113549.1.1.5',
  sha256WithRsa: '1.2.840.113549.1.1.11',
  sha384WithRsa: '1.2.840.113549.1.1.12',
  sha512WithRsa: '1.2.840.113549.1.1.13',
} as const;

/** The parts of a CMS message that tests change. */
export interface MessageParts {
  readonly type?: string;
  readonly contentType?: string;
  readonly content?: string;
  /** Object identifier in place of the digest algorithm. */
  readonly digest?: string;
  /** In DER. */
  readonly certificates?: readonly Uint8Array[];
  readonly signature?: Uint8Array;
  /** Elements in place of the certificates' field; none: the message lacks it. */
  readonly certificateField?: readonly Uint8Array[];
  /** Elements in place of the content's field; none: the content is detached. */
  readonly contentField?: readonly Uint8Array[];
  /** Elements between the digest algorithm and the signature algorithm. */
  readonly signedAttributes?: readonly Uint8Array[];
  readonly unsignedAttributes?: readonly Uint8Array[];
  /** The number of signers. */
  readonly signers?: number;
  /** Elements behind the last one of the message, of the signed data, and of the content's information. */
  readonly afterMessage?: readonly Uint8Array[];
  readonly afterSigners?: readonly Uint8Array[];
  readonly afterContent?: readonly Uint8Array[];
}

/**
 * Writes a SignedData message, in which every part can be wrong.
 * @see https://www.rfc-editor.org/rfc/rfc5652#section-5.1
 */
export function writeSignedMessage(parts: MessageParts = {}): Buffer {
  const { type = OIDS.signedData, contentType = OIDS.data, content = '', digest = OIDS.sha256 } = parts;
  const { certificates = [], signature = Buffer.from('signature'), signers = 1 } = parts;
  const algorithm = (id: string) => sequence(oid(id), der(0x05));
  const signer = sequence(
    integer(1),
    sequence(sequence(), integer(1)),
    algorithm(digest),
    ...(parts.signedAttributes ?? []),
    algorithm(OIDS.rsaEncryption),
    octets(signature),
    ...(parts.unsignedAttributes ?? []),
  );
  const encapsulated = sequence(
    oid(contentType),
    ...(parts.contentField ?? [tagged(0, octets(Buffer.from(content)))]),
    ...(parts.afterContent ?? []),
  );
  return sequence(
    oid(type),
    tagged(
      0,
      sequence(
        integer(1),
        setOf(algorithm(digest)),
        encapsulated,
        ...(parts.certificateField ?? [tagged(0, ...certificates)]),
        setOf(...Array<Buffer>(signers).fill(signer)),
        ...(parts.afterSigners ?? []),
      ),
    ),
    ...(parts.afterMessage ?? []),
  );
}

/** Signs a content and writes the message. @param key the signer's private key in PEM */
export function signMessage(
  key: string,
  hash: string,
  parts: MessageParts & { readonly content: string },
): string {
  const signature = sign(hash, Buffer.from(parts.content), key);
  return writeSignedMessage({ signature, ...parts }).toString('base64');
}
