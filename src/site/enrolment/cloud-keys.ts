import { createPublicKey, type JsonWebKey, type KeyObject, X509Certificate } from 'node:crypto';
import * as v from 'valibot';
import { ConfigError, whyUnreadable } from '../../lib/config-error.ts';
import type { Place } from '../../lib/config-source.ts';
import { openJson, placeAt } from '../../lib/json-source.ts';
import { readTextFile } from '../../lib/regular-file.ts';
import type { CloudRule } from './cloud-rules.ts';

const KEY_SET = v.object({ keys: v.array(v.looseObject({ kty: v.string() })) });

const EXPECTED: Readonly<Record<CloudRule['cloud'], string>> = {
  aws: 'RSA certificates in PEM',
  azure: 'certificates of authorities in PEM',
  gcp: 'a JWKS with RSA keys',
};

/** Reads the file of public keys that a rule names. @throws {ConfigError} when the file is unreadable */
export async function readCloudKeys({
  cloud,
  keys: file,
}: Pick<CloudRule, 'cloud' | 'keys'>): Promise<string> {
  try {
    return await readTextFile(file);
  } catch (cause) {
    throw new ConfigError('unreadable', `cannot read the keys of ${cloud}: ${whyUnreadable(cause)}`, {
      ...{ file, cause },
      nextStep: 'Download the keys of the cloud to this path, and let the service’s user read them.',
    });
  }
}

/** One key of a rule's file; `read` throws when it is invalid. */
interface WrittenKey {
  readonly place: Place | undefined;
  readonly read: () => KeyObject;
}

function* writtenCertificates(text: string): Generator<WrittenKey> {
  for (const { 0: pem, index } of text.matchAll(CERTIFICATE)) {
    yield { place: placeAt(text, index), read: () => new X509Certificate(pem).publicKey };
  }
}

/**
 * Yields the RSA keys of a JWKS; none when the text is not a JWKS. @throws {ConfigError} when the text is not
 * JSON
 */
function* writtenKeySet(text: string, file: string): Generator<WrittenKey> {
  const { content, placeOf } = openJson(file, text);
  const { success, output } = v.safeParse(KEY_SET, content);
  if (!success) return;
  for (const [at, key] of output.keys.entries()) {
    if (key.kty !== 'RSA') continue;
    yield {
      place: placeOf(['keys', at]),
      read: () => createPublicKey({ key: key as JsonWebKey, format: 'jwk' }),
    };
  }
}

/**
 * Checks that the keys of a rule are usable.
 * @throws {ConfigError} with the place, when the file is unreadable or its keys have another form
 */
export async function checkCloudKeys(rule: CloudRule): Promise<void> {
  const { cloud, keys: file } = rule;
  const text = await readCloudKeys(rule);
  const refuse = (place: Place | undefined, cause?: unknown) =>
    new ConfigError('invalid-value', `the file holds no keys of ${cloud}: expected are ${EXPECTED[cloud]}`, {
      ...{ file, ...place, cause },
      nextStep: 'Download the keys of the cloud again: docs/site.md says where they are.',
    });
  let count = 0;
  for (const { place, read } of cloud === 'gcp' ? writtenKeySet(text, file) : writtenCertificates(text)) {
    try {
      const { asymmetricKeyType } = read();
      if (cloud === 'azure' || asymmetricKeyType === 'rsa') count += 1;
    } catch (cause) {
      throw refuse(place, cause);
    }
  }
  if (count === 0) throw refuse({ line: 1, column: 1 });
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/** Parses the certificates of a PEM file. @throws when one of them is not a certificate */
export function certificatesIn(text: string): readonly X509Certificate[] {
  return (text.match(CERTIFICATE) ?? []).map((pem) => new X509Certificate(pem));
}
