import { expect, test } from 'vitest';
import { createSealer } from '../../src/lib/seal.ts';

const SECRET = Buffer.alloc(32, 7);

test('open() needs the same key, purpose and context as seal()', () => {
  const sealer = createSealer('uploads', SECRET);
  const sealed = sealer.seal('https://registry.test/upload?a=1', 'team/app ann');
  expect(sealed).toMatch(/^[A-Za-z0-9_-]+$/);
  expect(sealer.open(sealed, 'team/app ann')).toBe('https://registry.test/upload?a=1');
  expect(createSealer('uploads', SECRET).open(sealed, 'team/app ann')).toBe(
    'https://registry.test/upload?a=1',
  );
  expect(sealer.open(sealed, 'team/app bert')).toBeUndefined();
  expect(createSealer('uploads', Buffer.alloc(32, 8)).open(sealed, 'team/app ann')).toBeUndefined();
  expect(createSealer('other', SECRET).open(sealed, 'team/app ann')).toBeUndefined();
  expect(createSealer('uploads').open(sealed, 'team/app ann')).toBeUndefined();
});

test('open() refuses a changed, shortened or invented text', () => {
  const sealer = createSealer('uploads', SECRET);
  const bytes = Buffer.from(sealer.seal('text', 'context'), 'base64url');
  for (let at = 0; at < bytes.length; at += 1) {
    const changed = Buffer.from(bytes);
    changed[at] = (changed[at] ?? 0) ^ 1;
    expect(sealer.open(changed.toString('base64url'), 'context')).toBeUndefined();
    expect(sealer.open(bytes.subarray(0, at).toString('base64url'), 'context')).toBeUndefined();
  }
  expect(sealer.open('', 'context')).toBeUndefined();
  expect(sealer.open('not-sealed-by-anybody', 'context')).toBeUndefined();
});

test('seal() returns a different text each time', () => {
  const sealer = createSealer('uploads', SECRET);
  expect(sealer.seal('text', 'context')).not.toBe(sealer.seal('text', 'context'));
});

test('open() refuses another spelling of the same bytes', () => {
  const sealer = createSealer('uploads', SECRET);
  const sealed = sealer.seal('of such a length that the last character has bits to spare', 'context');
  const bytes = Buffer.from(sealed, 'base64url');
  expect(bytes.length % 3).not.toBe(0);
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const spellings = [...alphabet]
    .map((last) => sealed.slice(0, -1) + last)
    .filter((text) => text !== sealed && Buffer.from(text, 'base64url').equals(bytes));
  expect(spellings.length).toBeGreaterThan(0);
  for (const text of [...spellings, `${sealed}=`]) expect(sealer.open(text, 'context')).toBeUndefined();
});
