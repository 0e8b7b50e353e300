import { describe, expect, test } from 'vitest';
import { CorruptContentError } from '../../src/oci/content-store.ts';
import { DocumentBoundsError } from '../../src/oci/manifest-shape.ts';
import {
  type ErrorCode,
  HostNotAllowedError,
  isLoopError,
  RegistryError,
} from '../../src/oci/registry-error.ts';

describe('RegistryError', () => {
  // https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#error-codes
  test.each([
    ['BLOB_UNKNOWN', 404],
    ['MANIFEST_UNKNOWN', 404],
    ['NAME_INVALID', 400],
    ['UNAUTHORIZED', 401],
    ['DENIED', 403],
    ['UNSUPPORTED', 405],
    ['RANGE_INVALID', 416],
    ['TOOMANYREQUESTS', 429],
  ] as const)('%s has status %d', (code: ErrorCode, status) => {
    const error = new RegistryError(code, 'why');
    expect(error).toMatchObject({ name: 'RegistryError', code, status, headers: {}, detail: undefined });
    expect('cause' in error).toBe(false);
  });

  test('accepts another status, headers and a cause', () => {
    const cause = new Error('below');
    const error = new RegistryError('UNAVAILABLE', 'late', {
      status: 504,
      headers: { 'retry-after': '3' },
      cause,
    });
    expect(error).toMatchObject({ status: 504, headers: { 'retry-after': '3' }, cause });
  });

  test('is formatted as the spec’s list of errors, with a detail only where there is one', () => {
    expect(JSON.parse(JSON.stringify(new RegistryError('DENIED', 'no')))).toEqual({
      errors: [{ code: 'DENIED', message: 'no' }],
    });
    expect(JSON.parse(JSON.stringify(new RegistryError('DENIED', 'no', { detail: { a: 1 } })))).toEqual({
      errors: [{ code: 'DENIED', message: 'no', detail: { a: 1 } }],
    });
  });

  test('of a registry that is not allowed is DENIED and names the host', () => {
    const error = new HostNotAllowedError('ghcr.io');
    expect(error).toMatchObject({ code: 'DENIED', status: 403 });
    expect(error.message).toMatch(/^ghcr\.io /);
  });

  test('of a document beyond a limit is MANIFEST_INVALID and names the limit', () => {
    expect(new DocumentBoundsError('nests')).toMatchObject({
      code: 'MANIFEST_INVALID',
      message: 'the manifest nests',
    });
  });
});

test('CorruptContentError names the first wrong byte', () => {
  expect(new CorruptContentError(12)).toMatchObject({
    name: 'CorruptContentError',
    position: 12,
    message: 'stored content is corrupt from byte 12',
  });
});

describe('isLoopError()', () => {
  test.each([
    ['508', new RegistryError('UNAVAILABLE', 'x', { status: 508 }), true],
    ['another status', new RegistryError('UNAVAILABLE', 'x'), false],
    ['another error with this status', Object.assign(new Error('x'), { status: 508 }), false],
    ['no error', undefined, false],
  ])('detects the status of a loop in %s', (_, error, expected) => {
    expect(isLoopError(error)).toBe(expected);
  });
});
