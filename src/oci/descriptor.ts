import type { Digest } from './digest.ts';

/**
 * What a descriptor says its image runs on.
 *
 * `features` is defined for Docker's manifest list and RESERVED in the OCI image index; authors write it in both, so
 * it is read in both.
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.1/image-index.md#image-index-property-descriptions
 */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly osVersion?: string;
  readonly osFeatures: readonly string[];
  readonly features: readonly string[];
}

/** `linux/amd64/v3`. */
export function formatPlatform({
  os,
  architecture,
  variant,
}: Pick<Platform, 'os' | 'architecture' | 'variant'>): string {
  return [os, architecture, ...(variant === undefined ? [] : [variant])].join('/');
}

/**
 * A typed view of a content descriptor. `raw` is the parsed JSON object it was read from, with every unknown field, so
 * that what is written back loses nothing.
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md
 */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly platform?: Platform;
  readonly artifactType?: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly raw: Readonly<Record<string, unknown>>;
}
