import { describe, expect, test } from 'vitest';
import { ConfigError, type ConfigErrorCode } from '../../../src/lib/config-error.ts';
import {
  API_PROBLEMS,
  ApiProblem,
  type ApiProblemCode,
  auditReasonOf,
  toApiProblem,
} from '../../../src/site/api/api-problem.ts';
import { AUDIT_REASONS } from '../../../src/site/audit.ts';

const OWN_STEP = 'A step of its own.';

test.each<[ConfigErrorCode, ApiProblemCode, number]>([
  ['exists', 'exists', 409],
  ['missing', 'no-resource', 404],
  ['changed', 'conflict', 409],
  ['in-use', 'in-use', 409],
  ['busy', 'busy', 503],
  ['read-only', 'read-only', 503],
  ['too-large', 'limit', 409],
  ['unreadable', 'unreadable', 503],
  ['syntax', 'invalid-body', 422],
  ['unknown-key', 'invalid-body', 422],
  ['missing-key', 'invalid-body', 422],
  ['wrong-type', 'invalid-body', 422],
  ['invalid-value', 'invalid-body', 422],
])(
  'a machine file that fails with %s is the problem %s, with its reason and no path',
  (fault, code, status) => {
    const file = '/etc/metahub/machines/lab.yaml';
    const problem = toApiProblem(new ConfigError(fault, 'the reason', { file, nextStep: OWN_STEP }));
    expect(problem).toMatchObject({ code, status, headers: code === 'busy' ? { 'retry-after': '1' } : {} });
    expect(problem.headers).toEqual(code === 'busy' ? { 'retry-after': '1' } : {});
    const shown = JSON.parse(JSON.stringify(problem));
    expect(shown).toMatchObject({ code, status, title: API_PROBLEMS[code][1], detail: 'the reason' });
    expect(JSON.stringify(problem)).not.toContain('lab.yaml');
    // Only the step of `in-use` tells the client what it may know; the others are for the operator.
    expect(shown.nextStep === OWN_STEP).toBe(code === 'in-use');
  },
);

test('an unexpected error is the problem internal, without its reason', () => {
  const problem = toApiProblem(new Error('the secret'));
  expect([problem.code, problem.status]).toEqual(['internal', 500]);
  expect(JSON.stringify(problem)).not.toContain('secret');
});

describe('the audit trail', () => {
  test.each(Object.keys(API_PROBLEMS) as ApiProblemCode[])('has a reason for %s', (code) => {
    const reason = auditReasonOf(new ApiProblem(code, ''));
    const ofLogin = { 'login-required': 'no-credentials', 'login-refused': 'wrong-credentials' };
    expect(reason).toBe({ ...ofLogin }[code as string] ?? code);
    expect(AUDIT_REASONS).toHaveProperty([reason]);
  });
});
