import { readFileSync } from 'node:fs';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import type { LogFields } from '../../src/lib/log.ts';
import { AUDIT_REASONS, type AuditEntry, createAudit } from '../../src/site/audit.ts';
import { afterTest, repository } from '../support/upstream.ts';

beforeEach(() => {
  vi.useFakeTimers();
  afterTest(() => vi.useRealTimers());
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
  test('writes an admission at once, and equal ones of the next ten seconds as one line with their count', () => {
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

  test('counts admissions of different logins, addresses and repositories separately', () => {
    const { audit, lines } = auditing();
    audit(ADMITTED);
    audit({ ...ADMITTED, who: 'lab-other' });
    audit({ ...ADMITTED, address: '192.0.2.2' });
    audit({ ...ADMITTED, repository: repository('lab/app', 'ghcr.io') });
    audit({ ...ADMITTED, operation: 'listMachineTypes' });
    expect(lines).toHaveLength(5);
    vi.advanceTimersByTime(10_000);
    // None was repeated.
    expect(lines).toHaveLength(5);
  });

  test('writes ten refusals of a reason and an address in their own lines, and counts the others in one', () => {
    const { audit, lines } = auditing();
    const refused = { decision: 'refused', reason: 'wrong-credentials', address: '192.0.2.1' } as const;
    for (let guess = 0; guess < 1_000; guess += 1) audit({ ...refused, who: `u${guess}` });
    expect(lines.map(({ level, event, fields }) => [level, event, fields['who']])).toEqual(
      Array.from({ length: 10 }, (_, guess) => ['notice', 'access-refused', `u${guess}`]),
    );
    // Another reason or address is not hidden by them.
    audit({ ...refused, reason: 'not-allowed' });
    audit({ ...refused, address: '192.0.2.2' });
    expect(lines).toHaveLength(12);
    vi.advanceTimersByTime(10_000);
    const fields = { reason: 'wrong-credentials', address: '192.0.2.1', repeats: 990 };
    expect(lines.slice(12)).toEqual([{ level: 'notice', event: 'access-refused', fields }]);
    audit(refused);
    expect(lines).toHaveLength(14);
  });

  test('writes a bounded number of lines, however many addresses are refused', () => {
    const { audit, lines } = auditing();
    for (let at = 0; at < 20_000; at += 1)
      audit({ decision: 'refused', reason: 'no-resource', address: `10.0.${at >> 8}.${at % 256}` });
    expect(lines).toHaveLength(100);
    vi.advanceTimersByTime(10_000);
    const counted = lines.slice(100).map(({ fields }) => fields);
    expect(counted).toEqual([{ reason: 'no-resource', repeats: 19_900 }]);
  });

  test('counts the addresses of an IPv6 network as one', () => {
    const { audit, lines } = auditing();
    for (let at = 0; at < 20; at += 1)
      audit({ decision: 'refused', reason: 'no-resource', address: `2001:db8::${at}` });
    expect(lines).toHaveLength(10);
  });

  test('cuts a long path of a resource', () => {
    const { audit, lines } = auditing();
    audit({ decision: 'refused', reason: 'no-resource', resource: `/${'x'.repeat(9_000)}`, address: 'a' });
    expect(String(lines[0]?.fields['resource']).length).toBeLessThan(300);
  });

  test('says the reason as a code, and in the message as a sentence', () => {
    const messages: [string, unknown][] = [];
    const audit = createAudit((_level, _event, message, fields = {}) =>
      messages.push([message, fields['reason']]),
    );
    audit({ decision: 'refused', reason: 'wrong-credentials', address: '192.0.2.1' });
    audit({ decision: 'refused', reason: 'if-match-required', address: '192.0.2.1' });
    expect(messages).toEqual([
      ['access refused: there is no such login, or the password is wrong', 'wrong-credentials'],
      ['access refused: the edit does not say what it changes', 'if-match-required'],
    ]);
  });

  test('has codes in kebab-case, all of which docs/site.md lists', () => {
    const page = readFileSync(new URL('../../docs/site.md', import.meta.url), 'utf8');
    const codes = Object.keys(AUDIT_REASONS);
    expect(codes.filter((code) => !/^[a-z]+(?:-[a-z]+)*$/.test(code))).toEqual([]);
    expect(codes.filter((code) => !page.includes(`\`${code}\``))).toEqual([]);
  });

  test.each<[AuditEntry, string, string, string]>([
    [ADMITTED, 'info', 'access-admitted', 'access admitted'],
    [{ ...ADMITTED, decision: 'token given' }, 'info', 'token-issued', 'access token given'],
    [{ ...ADMITTED, decision: 'changed' }, 'notice', 'site-changed', 'site changed'],
    [
      { ...ADMITTED, decision: 'refused', reason: 'no-credentials' },
      'info',
      'access-refused',
      'access refused: the request has no credentials',
    ],
    [
      { ...ADMITTED, decision: 'refused', reason: 'expired-token' },
      'notice',
      'access-refused',
      'access refused: the bearer token has expired',
    ],
  ])('writes %j at the level %s as %s: %s', (entry, level, event, message) => {
    const lines: unknown[] = [];
    createAudit((...line) => void lines.push(line))(entry);
    expect(lines).toEqual([[level, event, message, expect.objectContaining({ who: 'lab-node' })]]);
  });

  test('writes each token and each change, however many are equal', () => {
    const { audit, lines } = auditing();
    for (const decision of ['token given', 'changed'] as const)
      for (let times = 0; times < 2; times += 1) audit({ ...ADMITTED, decision });
    vi.advanceTimersByTime(10_000);
    const events = ['token-issued', 'token-issued', 'site-changed', 'site-changed'];
    expect(lines.map(({ event }) => event)).toEqual(events);
  });

  test('counts at most ten thousand different admissions at once', () => {
    const { audit, lines } = auditing();
    audit(ADMITTED);
    audit(ADMITTED);
    for (let at = 0; at < 9_999; at += 1) audit({ ...ADMITTED, address: `a${at}` });
    expect(lines).toHaveLength(10_000);
    audit({ ...ADMITTED, address: 'one more' });
    expect(lines.slice(10_000).map(({ fields }) => fields['repeats'])).toEqual([1, undefined]);
  });
});
