import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Each a machine: a tree of /proc, /sys and /etc, cut down to what is read. */
export const MUSEUM = fileURLToPath(new URL('../fixtures/hosts', import.meta.url));

/** The names of all of them, sorted. */
export const HOSTS: readonly string[] = readdirSync(MUSEUM).sort();

/** Where a tree comes from. */
export type MuseumSource =
  /** Of a machine; `as` names the program whose output it is, put into the form of the files. */
  | { readonly kind: 'captured'; readonly from: string; readonly as: string; readonly license: string }
  /** Written from documents: it tests how files are read, and is no evidence of what such a machine is. */
  | { readonly kind: 'constructed'; readonly from: readonly string[] };

/** What `expected.json` says beside a tree. */
export interface MuseumHost {
  readonly source: MuseumSource;
  readonly platform: { readonly os: string; readonly architecture: string; readonly variant?: string };
  readonly microarchitecture: string;
  /** How the ranked list begins; not told of every host. */
  readonly compatible?: readonly string[];
  readonly gpus: readonly Readonly<Record<string, unknown>>[];
  /** All of them, in no order. */
  readonly features: readonly string[];
  /** A piece of each warning, in order. */
  readonly warnings: readonly string[];
  readonly failed: boolean;
}

/** What is expected of a host. */
export function museumHost(host: string): MuseumHost {
  return JSON.parse(readFileSync(join(MUSEUM, host, 'expected.json'), 'utf8')) as MuseumHost;
}
