/** Bytes from a registry, with their stated media type. */
export interface DocumentSource {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
}
