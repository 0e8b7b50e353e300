import { describe, expect, test } from 'vitest';
import { hashPassword, parsePasswordHash, verifyPassword } from '../../src/site/password.ts';

const CHEAP = { ln: 4, r: 8, p: 1 };

describe('a password hash', () => {
  test('is of the right password and of no other', async () => {
    const hash = await hashPassword('swordfish', CHEAP);
    expect(await verifyPassword('swordfish', hash)).toBe(true);
    expect(await verifyPassword('Swordfish', hash)).toBe(false);
    expect(await verifyPassword('', hash)).toBe(false);
  });

  test('is read back from its written form', async () => {
    const { text } = await hashPassword('swordfish', CHEAP);
    expect(text).toMatch(/^\$scrypt\$ln=4,r=8,p=1\$/);
    const read = parsePasswordHash(text);
    expect(read && (await verifyPassword('swordfish', read))).toBe(true);
  });

  test('is salted: the same password is never written twice alike', async () => {
    const [one, two] = await Promise.all([
      hashPassword('swordfish', CHEAP),
      hashPassword('swordfish', CHEAP),
    ]);
    expect(one.text).not.toBe(two.text);
  });

  test('as passlib writes it is understood', async () => {
    const hash = parsePasswordHash(
      '$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E',
    );
    expect(hash && (await verifyPassword('password', hash))).toBe(true);
  });

  test.each([
    ['a password in clear', 'swordfish'],
    ['another scheme', '$2b$12$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW'],
    ['more memory than a guess may cost', `$scrypt$ln=20,r=8,p=1$${'a'.repeat(22)}$${'b'.repeat(43)}`],
    ['no work at all', `$scrypt$ln=0,r=8,p=1$${'a'.repeat(22)}$${'b'.repeat(43)}`],
    ['more lanes than are worth it', `$scrypt$ln=4,r=8,p=99$${'a'.repeat(22)}$${'b'.repeat(43)}`],
    ['a hash cut short', `$scrypt$ln=4,r=8,p=1$${'a'.repeat(22)}$bbbb`],
  ])('is not: %s', (_, text) => {
    expect(parsePasswordHash(text)).toBeUndefined();
  });
});
