import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  AUTHORITY,
  AZURE_NAMES,
  type AzureSigner,
  createAzureSigner,
  leafFor,
  type MadeCertificate,
  RSA,
} from './azure-signer.ts';
import { selfSigned } from './certificates.ts';

/** The name of Google's key. */
export const GOOGLE_KEY = 'g';

/** The keys with which three test clouds sign. */
export interface CloudKeys {
  readonly aws: Awaited<ReturnType<typeof selfSigned>>;
  readonly azure: {
    readonly root: MadeCertificate;
    readonly intermediate: MadeCertificate;
    readonly signer: MadeCertificate;
  };
  readonly openssl: AzureSigner;
  /** Google's private key in PEM (PKCS #8). */
  readonly gcp: string;
}

export async function createCloudKeys(): Promise<CloudKeys> {
  const openssl = await createAzureSigner();
  const root = await openssl.make({ extensions: AUTHORITY });
  const intermediate = await openssl.make({ issuer: root, extensions: AUTHORITY });
  const signer = await openssl.make({ issuer: intermediate, extensions: leafFor(AZURE_NAMES), key: RSA });
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return {
    openssl,
    aws: await selfSigned('ec2.eu-central-1'),
    azure: { root, intermediate, signer },
    gcp: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

/** Writes the clouds' public keys as a site needs them. @returns the files, by cloud */
export function writePublicKeys(folder: string, { aws, azure, gcp }: CloudKeys) {
  const files = {
    aws: join(folder, 'aws.pem'),
    azure: join(folder, 'azure.pem'),
    gcp: join(folder, 'gcp.json'),
  };
  writeFileSync(files.aws, aws.cert);
  writeFileSync(files.azure, `${azure.root.pem}\n${azure.intermediate.pem}`);
  const jwk = {
    ...createPublicKey(gcp).export({ format: 'jwk' }),
    kid: GOOGLE_KEY,
    alg: 'RS256',
    use: 'sig',
  };
  writeFileSync(files.gcp, JSON.stringify({ keys: [jwk] }));
  return files;
}
