import { LRUCache } from 'lru-cache';
import { entriesAtMost } from '../lib/lru.ts';
import { parseTag, type Tag } from '../oci/reference.ts';

/** Limits of the repositories whose tag names are in memory, and of the tags of each. */
const REPOSITORIES_MAX = 5000;
const NAMES_MAX = 1000;

/** The tags of each repository, the most recently added first. */
export class TagNames {
  readonly #byRepository = new LRUCache<string, Set<Tag>>(entriesAtMost(REPOSITORIES_MAX));

  constructor(tags: readonly { readonly name: string }[]) {
    for (const { name } of tags) {
      const at = name.lastIndexOf(':');
      const tag = parseTag(name.slice(at + 1));
      if (tag) this.add(name.slice(0, at), tag);
    }
  }

  add(repository: string, tag: Tag): void {
    const tags = this.#byRepository.get(repository) ?? new Set();
    this.#byRepository.set(repository, tags);
    tags.delete(tag);
    tags.add(tag);
    const [oldest] = tags;
    if (oldest !== undefined && tags.size > NAMES_MAX) tags.delete(oldest);
  }

  remove(repository: string, tag: Tag): void {
    this.#byRepository.get(repository)?.delete(tag);
  }

  of(repository: string): readonly Tag[] {
    return [...(this.#byRepository.get(repository) ?? [])].reverse();
  }
}
