import { createLocalJWKSet, jwtVerify } from 'jose';
import * as v from 'valibot';
import { CLOCK_TOLERANCE_MS, type CloudInstance, type IdentityContext } from './cloud-instance.ts';

/** @see https://docs.cloud.google.com/compute/docs/instances/verifying-instance-identity */
const GCP_CLAIMS = v.object({
  iat: v.number(),
  google: v.object({
    compute_engine: v.object({
      instance_id: v.pipe(v.string(), v.regex(/^\d{1,32}$/)),
      instance_name: v.string(),
      project_id: v.string(),
      zone: v.string(),
    }),
  }),
});

/**
 * Verifies an instance's token with Google's public keys, a JWKS. @returns undefined when it is not valid for
 * this site
 */
export async function gcpInstance(
  token: string,
  keys: string,
  { audience, nowMs }: IdentityContext,
): Promise<CloudInstance | undefined> {
  try {
    const { payload } = await jwtVerify(token, createLocalJWKSet(JSON.parse(keys)), {
      algorithms: ['RS256'],
      issuer: 'https://accounts.google.com',
      audience,
      currentDate: new Date(nowMs),
      clockTolerance: CLOCK_TOLERANCE_MS / 1000,
      requiredClaims: ['exp', 'iat'],
    });
    const { success, output } = v.safeParse(GCP_CLAIMS, payload);
    if (!success) return undefined;
    const { instance_id: id, instance_name: kind, project_id: owner, zone } = output.google.compute_engine;
    const region = zone.replace(/-[a-z]$/, '');
    return { cloud: 'gcp', id, owner, region, kind, sinceMs: output.iat * 1000 };
  } catch (error) {
    if ((error as { code?: string }).code?.startsWith('ERR_J')) return undefined;
    throw error;
  }
}
