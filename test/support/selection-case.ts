import { describe, expect, test } from 'vitest';
import type { HostProfile } from '../../src/host/profile.ts';
import { DEFAULT_POLICY, type SelectionPolicy } from '../../src/selection/policy.ts';
import { type ExtraDemands, type Selection, select } from '../../src/selection/select.ts';
import { hostOf } from './host-of.ts';
import { digestNamed, documentOf, type EntrySpec } from './index-fixture.ts';

export interface SelectionCase {
  /** Features of the host, as words; or a whole profile. */
  readonly host: string | HostProfile;
  readonly entries: Readonly<Record<string, EntrySpec>>;
  /** The name of the winner; undefined when no entry is eligible. */
  readonly wins: string | undefined;
  readonly policy?: Partial<SelectionPolicy>;
  readonly extra?: ExtraDemands;
  /** What the verdict on the entry with this name must contain. */
  readonly says?: Readonly<Record<string, RegExp>>;
}

function selectionOf({ host, entries, policy, extra }: SelectionCase): Selection {
  const profile = typeof host === 'string' ? hostOf(host) : host;
  return select(documentOf(entries).document, profile, { ...DEFAULT_POLICY, ...policy }, extra);
}

function nameOf(digest: string | undefined, entries: SelectionCase['entries']): string | undefined {
  return Object.keys(entries).find((name) => digestNamed(name) === digest);
}

/** One test for each case, with the name of the case. */
export function selectionCases(
  title: string,
  cases: Readonly<Record<string, SelectionCase>>,
  options: { readonly tags?: 'slow' } = {},
): void {
  describe(title, options, () => {
    test.each(Object.entries(cases))('%s', (_, one) => {
      const selection = selectionOf(one);
      expect(nameOf(selection.winner?.entry.digest, one.entries)).toBe(one.wins);
      for (const [name, pattern] of Object.entries(one.says ?? {})) {
        const position = Object.keys(one.entries).indexOf(name);
        expect(selection.verdicts[position]?.reason).toMatch(pattern);
      }
    });
  });
}
