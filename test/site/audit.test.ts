import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { LogFields } from '../../src/lib/log.ts';
import { type AuditEntry, createAudit } from '../../src/site/audit.ts';
import { repository } from '../support/upstream.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function auditing() {
  const lines: { level: string; event: string; fields: LogFields }[] = [];
  const audit = createAudit((level, event, _message, fields = {}) => lines.push({ level, event, fields }));
  return { audit, lines };
}

const ADMITTED: AuditEntry = {
  decision: 'admitted',
  who: 'lab-node',
  account: 'lab',
  features: ['cpu:zen4', 'nvcap:9.0'],
  repository: repository('lab/app', 'docker.io'),
  address: '192.0.2.1',
};

describe('the audit trail', () => {
  test('writes an admission at once, and equal ones of the next ten seconds as one line with their number', () => {
    const { audit, lines } = auditing();
    for (let request = 0; request < 12; request += 1) audit(ADMITTED);
    expect(lines).toHaveLength(1);
    vi.advanceTimersByTime(10_000);
    const fields = {
      who: 'lab-node',
      account: 'lab',
      features: 'cpu:zen4,nvcap:9.0',
      repository: 'docker.io/lab/app',
      address: '192.0.2.1',
    };
    expect(lines).toEqual([
      { level: 'info', event: 'access-admitted', fields },
      { level: 'info', event: 'access-admitted', fields: { ...fields, repeats: 11 } },
    ]);
    audit(ADMITTED);
    expect(lines).toHaveLength(3);
  });

  test('tells apart admissions of other logins, addresses and repositories', () => {
    const { audit, lines } = auditing();
    audit(ADMITTED);
    audit({ ...ADMITTED, who: 'lab-other' });
    audit({ ...ADMITTED, address: '192.0.2.2' });
    audit({ ...ADMITTED, repository: repository('lab/app', 'ghcr.io') });
    audit({ ...ADMITTED, reason: 'lists machine types' });
    expect(lines).toHaveLength(5);
    vi.advanceTimersByTime(10_000);
    // None was repeated.
    expect(lines).toHaveLength(5);
  });

  test('writes every refusal, so that guesses can be counted', () => {
    const { audit, lines } = auditing();
    const refused = { decision: 'refused', reason: 'wrong credentials', address: '192.0.2.1' } as const;
    for (let guess = 0; guess < 3; guess += 1) audit(refused);
    expect(lines.map(({ level, event }) => [level, event])).toEqual(
      Array.from({ length: 3 }, () => ['notice', 'access-refused']),
    );
  });

  test('counts ten thousand different admissions at once and no more', () => {
    const { audit, lines } = auditing();
    audit(ADMITTED);
    audit(ADMITTED);
    for (let at = 0; at < 9_999; at += 1) audit({ ...ADMITTED, address: `a${at}` });
    expect(lines).toHaveLength(10_000);
    audit({ ...ADMITTED, address: 'one more' });
    expect(lines.slice(10_000).map(({ fields }) => fields['repeats'])).toEqual([1, undefined]);
  });
});
