import type { Digest } from '../oci/digest.ts';
import type { Repository } from '../oci/reference.ts';
import type { Access, Manifest } from '../oci/registry.ts';

/**
 * Answers of our own making, by digest. Whatever a HEAD announced, a GET by digest must deliver: `keep` resolves only
 * when the answer would survive a restart (or, on a full disk, is at least held in memory), and is called before the
 * digest is announced.
 */
export interface DerivedAnswers {
  keep(repository: Repository, answer: Manifest, access?: Access): Promise<void>;
  find(repository: Repository, digest: Digest, access?: Access): Promise<Manifest | undefined>;
}
