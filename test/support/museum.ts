import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** One directory for each machine: a tree of /proc, /sys and /etc, reduced to the files that are read. */
export const MUSEUM = fileURLToPath(new URL('../fixtures/hosts', import.meta.url));

/** The names of all machines, sorted. */
export const HOSTS: readonly string[] = readdirSync(MUSEUM).sort();

/** The source of a tree. */
export type MuseumSource =
  /** From a machine; `as` names the program whose output was converted to the files. */
  | { readonly kind: 'captured'; readonly from: string; readonly as: string; readonly license: string }
  /** Written from documents: it tests the parsers, and is no evidence of what such a machine is. */
  | { readonly kind: 'constructed'; readonly from: readonly string[] };

/** The content of `expected.json` next to a tree. */
export interface MuseumHost {
  readonly source: MuseumSource;
  readonly platform: { readonly os: string; readonly architecture: string; readonly variant?: string };
  readonly microarchitecture: string;
  /** The start of the ranked list; not in every file. */
  readonly compatible?: readonly string[];
  readonly gpus: readonly Readonly<Record<string, unknown>>[];
  /** All features, in any order. */
  readonly features: readonly string[];
  /** A part of each warning, in order. */
  readonly warnings: readonly string[];
  readonly failed: boolean;
}

/** The expected profile of a host. */
export function museumHost(host: string): MuseumHost {
  return JSON.parse(readFileSync(join(MUSEUM, host, 'expected.json'), 'utf8')) as MuseumHost;
}
