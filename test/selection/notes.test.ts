import { describe, expect, test } from 'vitest';
import { type Note, notesOn } from '../../src/selection/assessment.ts';
import { DEFAULT_POLICY, type SelectionPolicy } from '../../src/selection/policy.ts';
import { select } from '../../src/selection/select.ts';
import { hostOf } from '../support/host-of.ts';
import { documentOf, type EntrySpec } from '../support/index-fixture.ts';

function notes(
  host: string,
  entries: Readonly<Record<string, EntrySpec>>,
  policy: Partial<SelectionPolicy> = {},
): readonly Note[] {
  const profile = hostOf(host);
  const selection = select(documentOf(entries).document, profile, { ...DEFAULT_POLICY, ...policy });
  return notesOn(selection, profile);
}

describe('a host whose accelerator is unused', () => {
  test('gets a note with the nearest entry when its GPU is newer than every entry', () => {
    const found = notes('cpu:icelake nvcap:12.0', { plain: '', old: 'nvcap:8.0', new: 'nvcap:9.0' });
    expect(found).toMatchObject([{ code: 'accelerator-unused' }]);
    expect(found[0]?.text).toMatch(
      /\(nvidia\) is not used: the nearest entry, 3, demands nvcap:9\.0 .*: this host's GPU is 12\.0/,
    );
  });

  test.each<[string, Readonly<Record<string, string>>]>([
    ['an entry for every NVIDIA GPU', { any: 'gpu:nvidia', old: 'nvcap:8.0', new: 'nvcap:9.0' }],
    ['an entry for a CUDA', { any: 'cuda:12.2', old: 'nvcap:8.0-8.9', new: 'nvcap:9.0a' }],
    ['PTX', { any: 'nvptx:8.0', old: 'nvcap:=8.0', new: 'nvcap:9.0' }],
  ])('gets a note when its GPU is newer than every entry, and %s is served', (_, entries) => {
    const [note, ...others] = notes('cpu:icelake nvcap:12.0 gpu:nvidia cuda:12.8', entries);
    expect(note?.code).toBe('accelerator-newer');
    expect(note?.text).toMatch(
      /GPU is newer .*: the nearest entry, 3, demands nvcap:9\.0a? .*: this host's GPU is 12\.0/,
    );
    expect(others).toEqual([]);
  });

  test.each<[string, string, Readonly<Record<string, string>>]>([
    ['a GPU older than the entries', 'nvcap:7.5', { any: 'gpu:nvidia', new: 'nvcap:9.0' }],
    ['a GPU between the entries', 'nvcap:8.9', { any: 'gpu:nvidia', old: 'nvcap:=7.5', new: 'nvcap:9.0' }],
    ['an entry for a newer one', 'nvcap:10.0', { any: 'gpu:nvidia', old: 'nvcap:9.0', new: 'nvcap:12.0' }],
    ['an open range', 'nvcap:12.0', { any: 'nvcap:>=8.0', old: 'nvcap:=8.0', new: 'nvcap:9.0' }],
    ['another reason', 'nvcap:9.0 cuda:12.2', { any: 'gpu:nvidia', new: 'nvcap:9.0 cuda:13.0' }],
  ])('gets no note about a newer GPU for %s', (_, host, entries) => {
    expect(notes(`cpu:icelake gpu:nvidia ${host}`, entries)).toEqual([]);
  });

  test('gets a note about its driver when the driver is too old', () => {
    const [note] = notes('cpu:icelake nvcap:9.0 cuda:12.2', { plain: '', it: 'nvcap:9.0 cuda:13.0' });
    expect(note?.text).toMatch(/demands cuda:13\.0 .*: this host has 12\.2/);
  });

  test('gets a note when the entries are for another vendor', () => {
    const [note] = notes('cpu:icelake accel:habana-gaudi2', { plain: '', it: 'gfx:gfx942' });
    expect(note?.text).toMatch(/\(habana\) is not used/);
  });

  test('gets a note about an entry of its own vendor before one of another', () => {
    const [note] = notes('cpu:zen4 gfx:gfx906', {
      plain: '',
      cuda: 'nvcap:9.0',
      rocm: 'gfx:gfx942',
      tpu: 'accel:tpu-v4',
    });
    expect(note?.text).toMatch(/the nearest entry, 3,/);
  });

  test.each<[string, string, string]>([
    ['AMD', 'gfx:gfx906', 'gfx:gfx942'],
    ['AMD', 'gfx:gfx906', 'gpu:rocm rack:b'],
    ['AMD', 'gfx:gfx906', 'gpu:amd rack:b'],
    ['NVIDIA', 'nvcap:8.0', 'gpu:cuda rack:b'],
    ['NVIDIA', 'nvcap:8.0', 'gpu:nvidia rack:b'],
    ['NVIDIA', 'nvcap:8.0 cuda:12.2', 'cuda:13.0'],
    ['Habana', 'accel:habana-gaudi2', 'accel:habana-gaudi3'],
    ['a maker without families', 'accel:quantum', 'accel:quantum rack:b'],
    ['one of the alternatives', 'gfx:gfx906', 'gpu:cuda gpu:rocm rack:b'],
  ])('of %s (%s) gets a note about %s before an entry for others', (_, host, own) => {
    const others = { wormhole: 'accel:tenstorrent-wormhole', tpu: 'accel:tpu-v4' };
    const [note] = notes(`cpu:zen4 ${host}`, { plain: '', own, ...others });
    expect(note?.text).toContain('the nearest entry, 2,');
  });

  test.each<[string, string, string]>([
    ['AMD', 'gfx:gfx906 rack:rocm', 'nvcap:9.0 rack:rocm'],
    ['NVIDIA', 'nvcap:8.0 rack:nvidia', 'gfx:gfx942 rack:nvidia'],
    ['NVIDIA', 'nvcap:8.0 rack:b', 'gfx:gfx942 rack:b'],
    ['Habana', 'accel:habana-gaudi2 rack:habana-gaudi2', 'gfx:gfx942 rack:habana-gaudi2'],
  ])('of %s (%s) does not count %s as its own by a kind that names no vendor', (_, host, other) => {
    const [note] = notes(`cpu:zen4 ${host}`, { plain: '', other, later: 'accel:tpu-v4' });
    expect(note?.text).toContain('the nearest entry, 3,');
  });

  test('gets a note with each vendor name once', () => {
    const [note] = notes('cpu:zen4 nvcap:8.0 nvcap:8.6 gfx:gfx906', { plain: '', it: 'accel:tpu-v4' });
    expect(note?.text).toContain('(nvidia, amd) is not used');
  });

  test('gets no note when the operator ranked another entry before one for its accelerator', () => {
    const entries = { it: 'cpu:zen4', gpu: 'nvcap:9.0', newer: 'nvcap:10.0' };
    expect(notes('cpu:zen4 nvcap:9.0', entries, { priority: ['cpu'] })).toEqual([]);
  });

  test('gets a note about a newer GPU where the entries demand more than a GPU', () => {
    const [note] = notes('cpu:icelake nvcap:12.0 gpu:nvidia kernel:6.1', {
      any: 'gpu:nvidia',
      it: 'nvcap:9.0 kernel:5.10',
    });
    expect(note?.code).toBe('accelerator-newer');
  });
});

describe('an image without notes', () => {
  test.each<[string, string, Readonly<Record<string, EntrySpec>>]>([
    [
      'of a GPU that is used',
      'cpu:icelake nvcap:9.0',
      { plain: '', it: 'nvcap:9.0', other: 'nvcap:8.0 cuda:13.0' },
    ],
    [
      'of an image without entries for accelerators',
      'cpu:icelake nvcap:9.0',
      { plain: '', it: 'cpu:icelake' },
    ],
    ['of a host without an accelerator', 'cpu:icelake', { plain: '', it: 'nvcap:9.0' }],
    ['of the graphics of a processor', 'cpu:icelake gpu:intel accel:vulkan', { plain: '', it: 'nvcap:9.0' }],
    [
      'of entries for another platform',
      'cpu:neoverse_v2 nvcap:9.0',
      { plain: { on: 'linux/arm64' }, it: 'nvcap:9.0' },
    ],
    ['when nothing runs here, which is an error of its own', 'cpu:icelake nvcap:12.0', { it: 'nvcap:9.0' }],
  ])('has none: %s', (_, host, entries) => {
    expect(notes(host, entries)).toEqual([]);
  });
});

describe('a plain entry next to one for a low level', () => {
  const ALMALINUX = { v2: { variant: 'v2' }, plain: '' };

  test('gets the note that it may be built for a higher level', () => {
    const found = notes('cpu:zen4', ALMALINUX);
    expect(found).toMatchObject([{ code: 'baseline-suspected' }]);
    expect(found[0]?.text).toMatch(
      /^Entry 2 names no level, and stands beside x86-64-v2: .* set baseline \(such as x86-64-v3\)/,
    );
  });

  test('gets no note where the repository has a baseline', () => {
    expect(notes('cpu:zen4', ALMALINUX, { baseline: ['x86-64-v3'] })).toEqual([]);
  });

  test('gets no note on a host that runs no higher level', () => {
    expect(notes('cpu:nehalem', ALMALINUX)).toEqual([]);
  });

  test('gets no note where the publisher marks higher levels too', () => {
    expect(notes('cpu:haswell', { ...ALMALINUX, v4: { variant: 'v4' } })).toEqual([]);
  });

  test('gets a note where an entry of another kind ranks after the levels', () => {
    expect(notes('cpu:zen4 zone:z9', { ...ALMALINUX, zoned: 'zone:z9 x86-64-v1' })).toMatchObject([
      { code: 'baseline-suspected' },
    ]);
  });

  test('gets no note when it does not run on the host', () => {
    expect(notes('cpu:zen4', { ...ALMALINUX, plain: 'rack:b' })).toEqual([]);
  });

  test('gets no note next to an entry for either of two levels', () => {
    expect(notes('cpu:zen4', { it: 'x86-64-v1 x86-64-v2', plain: '' })).toEqual([]);
  });
});
