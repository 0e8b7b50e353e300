import { describe, expect, test } from 'vitest';
import { ConfigError } from '../../src/lib/config-error.ts';
import { FileLockTimeoutError } from '../../src/lib/file-lock.ts';
import { ForeignLinkError } from '../../src/lib/link-path.ts';
import { asMachineError, asUnreadable } from '../../src/site/machine-errors.ts';

const FOLDER = '/etc/metahub/machines';
const failure = (code: string) => Object.assign(new Error(code), { code });

describe('an error that stops every change of a folder', () => {
  test.each([
    ['a lock that another process holds', new FileLockTimeoutError('/lock'), 'busy', 'another process'],
    ['a link of another user', new ForeignLinkError('/link'), 'read-only', 'belongs to another user'],
    ['EACCES', failure('EACCES'), 'read-only', 'cannot be written'],
    ['EPERM', failure('EPERM'), 'read-only', 'cannot be written'],
    ['EROFS', failure('EROFS'), 'read-only', 'cannot be written'],
  ])('is %s', (_, cause, code, why) => {
    const error = asMachineError(cause, FOLDER);
    expect(error).toBeInstanceOf(ConfigError);
    expect(error).toMatchObject({ code, file: FOLDER, cause, why: expect.stringContaining(why) });
  });

  test.each([
    ['EIO', failure('EIO')],
    ['an error without a code', new Error('none')],
  ])('is not %s', (_, cause) => {
    expect(asMachineError(cause, FOLDER)).toBe(cause);
  });
});

describe('asUnreadable()', () => {
  test('names the place to the operator, and why only in its cause', () => {
    const cause = new ConfigError('invalid-value', 'a secret', { file: 'lab.yaml', line: 3, column: 7 });
    const error = asUnreadable(cause, FOLDER);
    expect(error).toMatchObject({ code: 'unreadable', file: 'lab.yaml', line: 3, column: 7, cause });
    expect(error.why).not.toContain('secret');
    expect(asUnreadable(failure('EIO'), FOLDER)).toMatchObject({ code: 'unreadable', file: FOLDER });
  });

  test('returns the error of a lock that another process holds', () => {
    const busy = new ConfigError('busy', 'try again', { file: FOLDER });
    expect(asUnreadable(busy, FOLDER)).toBe(busy);
  });
});
