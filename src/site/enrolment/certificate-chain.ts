import type { KeyObject, X509Certificate } from 'node:crypto';
import {
  Boolean as Asn1Boolean,
  BitString,
  Constructed,
  Integer,
  ObjectIdentifier,
  OctetString,
  Repeated,
  Sequence,
} from 'asn1js';
import { algorithmSchema, readAsn1 } from './asn1.ts';

/** Certificates of the authorities that may have issued a certificate. */
export interface Authorities {
  /** Trusted without an issuer. */
  readonly roots: readonly X509Certificate[];
  /** Trusted when a root has issued them, directly or through other intermediates. */
  readonly intermediates: readonly X509Certificate[];
}

/** Maximum number of intermediates in a chain. No public authority needs more. */
const INTERMEDIATES_MAX = 4;
const RSA_MIN_BITS = 2048;

/** Signature algorithms that are considered secure: RSA and ECDSA with SHA-256, -384 and -512. */
const SIGNATURES = new Set([
  '1.2.840.113549.1.1.11',
  '1.2.840.113549.1.1.12',
  '1.2.840.113549.1.1.13',
  '1.2.840.10045.4.3.2',
  '1.2.840.10045.4.3.3',
  '1.2.840.10045.4.3.4',
]);
const BASIC_CONSTRAINTS = '2.5.29.19';
/**
 * Critical extensions that this file, OpenSSL for it, or its caller enforces (basic constraints, key usage,
 * subject alternative name). A certificate with any other critical extension is not trusted.
 * @see https://www.rfc-editor.org/rfc/rfc5280#section-4.2
 */
const OBEYED = new Set([BASIC_CONSTRAINTS, '2.5.29.15', '2.5.29.17']);

const EXTENSION = new Sequence({
  value: [new ObjectIdentifier(), new Asn1Boolean({ optional: true }), new OctetString()],
});

/** @see https://www.rfc-editor.org/rfc/rfc5280#section-4.1 */
const CERTIFICATE = new Sequence({
  value: [
    new Sequence({
      value: [
        new Constructed({ idBlock: { tagClass: 3, tagNumber: 0 }, value: [new Integer()] }),
        ...[new Integer(), new Sequence(), new Sequence(), new Sequence(), new Sequence(), new Sequence()],
        new Constructed({
          idBlock: { tagClass: 3, tagNumber: 3 },
          value: [new Sequence({ value: [new Repeated({ name: 'extensions', value: EXTENSION })] })],
        }),
      ],
    }),
    algorithmSchema('algorithm'),
    new BitString(),
  ],
});

const CONSTRAINTS = new Sequence({
  value: [new Asn1Boolean({ optional: true }), new Integer({ name: 'pathLength', optional: true })],
});

interface Extension {
  readonly id: string;
  readonly isCritical: boolean;
  readonly value: OctetString;
}

function readExtension({ valueBlock: { value } }: Sequence): Extension | undefined {
  const [id, critical] = value;
  const content = value.at(-1);
  if (!(id instanceof ObjectIdentifier && content instanceof OctetString)) return undefined;
  const isCritical = critical instanceof Asn1Boolean && critical.getValue();
  return { id: id.getValue(), isCritical, value: content };
}

/** Returns what `X509Certificate` does not offer: the signature algorithm and the extensions. */
function fieldsOf({ raw }: X509Certificate) {
  const parts = readAsn1(raw, CERTIFICATE);
  const algorithm = parts?.one('algorithm', ObjectIdentifier)?.getValue();
  const read = parts?.all('extensions', Sequence)?.map(readExtension);
  // Stryker disable next-line MethodExpression: OpenSSL has refused a certificate with an extension of another form.
  const extensions = read?.filter((extension) => extension !== undefined);
  if (algorithm === undefined || extensions === undefined || extensions.length !== read?.length)
    return undefined;
  return { algorithm, extensions };
}

function isStrong(key: KeyObject): boolean {
  if (key.asymmetricKeyType === 'ec') return true;
  return key.asymmetricKeyType === 'rsa' && (key.asymmetricKeyDetails?.modulusLength ?? 0) >= RSA_MIN_BITS;
}

function isValidAt({ validFrom, validTo }: X509Certificate, nowMs: number): boolean {
  return Date.parse(validFrom) <= nowMs && nowMs <= Date.parse(validTo);
}

function hasUnknownConstraint(certificate: X509Certificate): boolean {
  const extensions = fieldsOf(certificate)?.extensions;
  return extensions?.some(({ id, isCritical }) => isCritical && !OBEYED.has(id)) ?? true;
}

/** Returns how many intermediates may stand below this authority; undefined: it may not issue certificates. */
function pathLengthOf(authority: X509Certificate): number | undefined {
  const { extensions } = fieldsOf(authority) ?? { extensions: [] };
  if (!authority.ca) return undefined;
  // Stryker disable next-line OptionalChaining: OpenSSL says `ca` only of a certificate that has this extension.
  const constraints = extensions.find(({ id }) => id === BASIC_CONSTRAINTS)?.value.getValue();
  if (constraints === undefined) return undefined;
  const parts = readAsn1(new Uint8Array(constraints), CONSTRAINTS);
  if (parts === undefined) return undefined;
  const pathLength = parts.one('pathLength', Integer);
  return pathLength === undefined ? INTERMEDIATES_MAX : Number(pathLength.toBigInt());
}

/**
 * True when names, key identifiers and key usage match (`checkIssued`), and the issuer's key made the
 * signature.
 */
function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  const algorithm = fieldsOf(certificate)?.algorithm ?? '';
  if (!SIGNATURES.has(algorithm) || !isStrong(issuer.publicKey) || !certificate.checkIssued(issuer))
    return false;
  try {
    return certificate.verify(issuer.publicKey);
  } catch {
    // `verify` throws when the key is of another kind than the signature.
    return false;
  }
}

/**
 * True when a root has issued the certificate, directly or through intermediates, and all of them are valid
 * at `nowMs`. Does not check for revocation, which would need the network.
 * @see https://www.rfc-editor.org/rfc/rfc5280#section-6
 */
export function isTrusted(certificate: X509Certificate, authorities: Authorities, nowMs: number): boolean {
  function leadsToRoot(one: X509Certificate, below: number): boolean {
    if (!isValidAt(one, nowMs) || !isStrong(one.publicKey) || hasUnknownConstraint(one)) return false;
    if (authorities.roots.some((root) => isValidAt(root, nowMs) && isIssuedBy(one, root))) return true;
    if (below === INTERMEDIATES_MAX) return false;
    return authorities.intermediates.some((issuer) => {
      const pathLength = pathLengthOf(issuer);
      return (
        pathLength !== undefined &&
        pathLength >= below &&
        isIssuedBy(one, issuer) &&
        leadsToRoot(issuer, below + 1)
      );
    });
  }
  return leadsToRoot(certificate, 0);
}
