import { describe, expect, test } from 'vitest';
import { hashPassword, parsePasswordHash, verifyPassword } from '../../src/site/password.ts';

const CHEAP = { ln: 4, r: 8, p: 1 };

describe('a password hash', () => {
  test('matches the right password only', async () => {
    const hash = await hashPassword('swordfish', CHEAP);
    expect(await verifyPassword('swordfish', hash)).toBe(true);
    expect(await verifyPassword('Swordfish', hash)).toBe(false);
    expect(await verifyPassword('', hash)).toBe(false);
  });

  test('reads back from its written form', async () => {
    const { text } = await hashPassword('swordfish', CHEAP);
    expect(text).toMatch(/^\$scrypt\$ln=4,r=8,p=1\$/);
    const read = parsePasswordHash(text);
    expect(read && (await verifyPassword('swordfish', read))).toBe(true);
  });

  test('is salted, so that equal passwords have different hashes', async () => {
    const [one, two] = await Promise.all([
      hashPassword('swordfish', CHEAP),
      hashPassword('swordfish', CHEAP),
    ]);
    expect(one.text).not.toBe(two.text);
  });

  test('reads the format of passlib', async () => {
    const hash = parsePasswordHash(
      '$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E',
    );
    expect(hash && (await verifyPassword('password', hash))).toBe(true);
  });

  test.each([
    ['the least work', { ln: 1, r: 1, p: 1 }],
    ['the most lanes', { ln: 4, r: 8, p: 16 }],
    ['the most memory, 256 MiB', { ln: 18, r: 8, p: 1 }],
  ])('may cost %s', (_, cost) => {
    const text = `$scrypt$ln=${cost.ln},r=${cost.r},p=${cost.p}$${'A'.repeat(22)}$${'AQID'.repeat(10)}AQI`;
    expect(parsePasswordHash(text)).toEqual({
      text,
      cost,
      salt: Buffer.alloc(16),
      hash: Buffer.from([...Array(10).fill([1, 2, 3]).flat(), 1, 2]),
    });
  });

  test.each([
    ['a password in clear', 'swordfish'],
    ['another scheme', '$2b$12$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW'],
    ['more memory than a guess may cost', `$scrypt$ln=20,r=8,p=1$${'a'.repeat(22)}$${'b'.repeat(43)}`],
    ['a little more memory than that', `$scrypt$ln=18,r=9,p=1$${'a'.repeat(22)}$${'b'.repeat(43)}`],
    ['no block', `$scrypt$ln=4,r=0,p=1$${'a'.repeat(22)}$${'b'.repeat(43)}`],
    ['no lane', `$scrypt$ln=4,r=8,p=0$${'a'.repeat(22)}$${'b'.repeat(43)}`],
    ['one lane too many', `$scrypt$ln=4,r=8,p=17$${'a'.repeat(22)}$${'b'.repeat(43)}`],
    ['no work at all', `$scrypt$ln=0,r=8,p=1$${'a'.repeat(22)}$${'b'.repeat(43)}`],
    ['more lanes than are worth it', `$scrypt$ln=4,r=8,p=99$${'a'.repeat(22)}$${'b'.repeat(43)}`],
    ['a hash cut short', `$scrypt$ln=4,r=8,p=1$${'a'.repeat(22)}$bbbb`],
  ])('is refused when the text is %s', (_, text) => {
    expect(parsePasswordHash(text)).toBeUndefined();
  });
});
