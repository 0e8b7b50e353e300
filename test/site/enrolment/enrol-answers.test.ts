import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { describe, expect, test } from 'vitest';
import { ConfigError, type ConfigErrorCode } from '../../../src/lib/config-error.ts';
import { type Account, createEnrolmentSecret } from '../../../src/site/account.ts';
import { AUDIT_REASONS, type AuditEntry, type AuditReason } from '../../../src/site/audit.ts';
import type { CloudVerdict } from '../../../src/site/enrolment/cloud-identity.ts';
import { createEnrolEndpoint, ENROL_PATH } from '../../../src/site/enrolment/enrol-endpoint.ts';
import type { MachineAdmin } from '../../../src/site/machine-admin.ts';
import { listenOnLoopback } from '../../support/loopback.ts';
import { afterTest } from '../../support/upstream.ts';

/** The endpoint of enrolments, with accounts, clouds and machine files that answer what a test wants. */

const NOW_MS = 1_700_000_000_000;
const COMMITMENT = 'C'.repeat(43);
const SECRET = createEnrolmentSecret();
const ACCOUNT = {
  user: 'lab',
  types: [
    { name: 'cpu', login: 'lab-cpu' },
    { name: 'gpu', login: 'gpu-nodes' },
  ],
} as unknown as Account;
const enrolment = (type = 'gpu', expiresMs = NOW_MS + 1) => ({
  account: ACCOUNT,
  enrolment: { name: 'node17', type, sha256: SECRET.sha256, expiresMs },
});
const known = (type = 'gpu', account = 'lab'): CloudVerdict => ({
  kind: 'known',
  machine: { account, type, name: 'aws-i-1' },
});
const IDENTITY = { aws: { document: '{}', signature: 'c2ln' } };

interface Site {
  /** What the change of the machine file does; null: the site has no folder of them. */
  readonly change?: (() => Promise<void>) | null;
  readonly found?: ReturnType<typeof enrolment> | undefined;
  /** Undefined: the site configures no cloud. */
  readonly verdict?: CloudVerdict | undefined;
  /** Undefined: the site has no rule for Azure. */
  readonly createChallenge?: (commitment: string, address: string) => string | undefined;
}

async function serveEnrolments({ change = async () => {}, found, verdict, createChallenge }: Site = {}) {
  const steps: unknown[] = [];
  const entries: AuditEntry[] = [];
  const logged: unknown[] = [];
  const admin = {
    change: async (...asked: unknown[]) => {
      await change?.();
      steps.push(['change', ...asked]);
    },
  } as unknown as MachineAdmin;
  const handler = createEnrolEndpoint({
    admin: change === null ? undefined : admin,
    enrolmentOf: (sha256) => (sha256 === SECRET.sha256 ? found : undefined),
    accountOf: (user) => (user === ACCOUNT.user ? ACCOUNT : undefined),
    cloud: () => ({ checkCloud: verdict && (async () => verdict), createChallenge }),
    onChanged: async () => void steps.push('changed'),
    clientAddress: () => '192.0.2.7',
    audit: (entry) => entries.push(entry),
    log: (level, event) => logged.push([level, event]),
    wallClock: () => NOW_MS,
  });
  const server = createServer(handler);
  const port = await listenOnLoopback(server);
  afterTest(() => server.close());
  const ask = async (method: string, body?: unknown, query = '') => {
    const answer = await fetch(`http://127.0.0.1:${port}${ENROL_PATH}${query}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: answer.status, headers: answer.headers, body: JSON.parse(await answer.text()) };
  };
  return { ask, steps, entries, logged };
}

const refusal = (code: string, message = expect.any(String)) => ({ errors: [{ code, message }] });

describe('the secret of an enrolment', () => {
  test.each([
    ['cpu', 'lab-cpu'],
    ['gpu', 'gpu-nodes'],
  ])('for the type %s gives the login %s and a token, of which the hash is stored', async (type, login) => {
    const { ask, steps, entries } = await serveEnrolments({ found: enrolment(type) });
    const { status, body } = await ask('POST', { token: SECRET.text });
    expect([status, body]).toEqual([200, { login, token: expect.stringMatching(/^metahub_[\w-]{43}$/) }]);
    const tokenSha256 = createHash('sha256').update(body.token).digest('base64url');
    const edit = { kind: 'enrol', sha256: SECRET.sha256, tokenSha256 };
    expect(steps).toEqual([['change', 'lab', edit], 'changed']);
    expect(entries).toEqual([
      {
        ...{ decision: 'token given', operation: 'enrol', resource: ENROL_PATH, address: '192.0.2.7' },
        ...{ who: login, account: 'lab', token: 'node17' },
      },
    ]);
  });

  test.each<[string, Site, AuditReason, string | undefined]>([
    ['is not known', {}, 'unknown-enrolment', undefined],
    ['is for a type that is gone', { found: enrolment('tpu') }, 'unknown-enrolment', undefined],
    ['expires now', { found: enrolment('gpu', NOW_MS) }, 'expired-enrolment', 'gpu-nodes'],
    [
      'is for a site without machine files',
      { found: enrolment(), change: null },
      'unknown-enrolment',
      undefined,
    ],
  ])('is refused when it %s', async (_, site, reason, who) => {
    const { ask, steps, entries } = await serveEnrolments(site);
    const { status, body } = await ask('POST', { token: SECRET.text });
    expect([status, body]).toEqual([403, refusal('DENIED', AUDIT_REASONS[reason])]);
    expect(steps).toEqual([]);
    expect(entries).toEqual([expect.objectContaining({ decision: 'refused', operation: 'enrol', reason })]);
    expect(entries[0]?.who).toBe(who);
  });

  test.each([
    ['something before it', `x${SECRET.text}`],
    ['something after it', `${SECRET.text}x`],
    ['a line end after it', `${SECRET.text}\n`],
    ['a character too few', SECRET.text.slice(0, -1)],
    ['its first letters in upper case', SECRET.text.replace('metahub', 'METAHUB')],
    ['its hash in its place', SECRET.sha256],
  ])('is refused with %s', async (_, token) => {
    const { ask, steps } = await serveEnrolments({ found: enrolment() });
    expect((await ask('POST', { token })).status).toBe(403);
    expect(steps).toEqual([]);
  });
});

describe('the identity of an instance', () => {
  test.each([
    ['cpu', 'lab-cpu'],
    ['gpu', 'gpu-nodes'],
  ])('of the type %s gives the login %s', async (type, login) => {
    const { ask, steps, entries } = await serveEnrolments({ verdict: known(type) });
    const { status, body } = await ask('POST', IDENTITY);
    expect([status, body]).toEqual([200, { login, token: expect.any(String) }]);
    const sha256 = createHash('sha256').update(body.token).digest('base64url');
    const edit = { kind: 'add-token', token: { name: 'aws-i-1', type, sha256 } };
    expect(steps).toEqual([['change', 'lab', edit], 'changed']);
    expect(entries).toMatchObject([{ who: login, account: 'lab', token: 'aws-i-1' }]);
  });

  test.each<[string, CloudVerdict | undefined, AuditReason]>([
    ['without a cloud', undefined, 'no-cloud-enrolment'],
    ['for what the cloud’s check says', { kind: 'refused', reason: 'old-identity' }, 'old-identity'],
    ['of an account that is gone', known('gpu', 'gone'), 'no-machine-type'],
    ['of a type that is gone', known('tpu'), 'no-machine-type'],
  ])('is refused %s', async (_, verdict, reason) => {
    const { ask, steps, entries } = await serveEnrolments({ verdict });
    const { status, body } = await ask('POST', IDENTITY);
    expect([status, body]).toEqual([403, refusal('DENIED', AUDIT_REASONS[reason])]);
    expect(steps).toEqual([]);
    expect(entries).toMatchObject([{ decision: 'refused', reason }]);
  });
});

describe('an enrolment whose machine file cannot be changed', () => {
  const failing = (code: ConfigErrorCode) => async () => {
    throw new ConfigError(code, 'why');
  };

  test.each<[ConfigErrorCode, AuditReason, AuditReason]>([
    ['missing', 'unknown-enrolment', 'no-machine-type'],
    ['exists', 'enrolled-before', 'enrolled-before'],
  ])('because of %s is refused', async (code, ofSecret, ofInstance) => {
    for (const [given, reason] of [
      [{ token: SECRET.text }, ofSecret],
      [IDENTITY, ofInstance],
    ] as const) {
      const site = { found: enrolment(), verdict: known(), change: failing(code) };
      const { ask, steps, entries } = await serveEnrolments(site);
      const { status, body } = await ask('POST', given);
      expect([status, body]).toEqual([403, refusal('DENIED', AUDIT_REASONS[reason])]);
      expect(steps).toEqual([]);
      expect(entries).toMatchObject([{ decision: 'refused', reason, who: 'gpu-nodes' }]);
    }
  });

  test.each<[ConfigErrorCode, AuditReason]>([
    ['busy', 'busy'],
    ['read-only', 'read-only'],
  ])('because of %s is answered with 503, and may be repeated', async (code, reason) => {
    const { ask, steps, entries } = await serveEnrolments({ found: enrolment(), change: failing(code) });
    const { status, body } = await ask('POST', { token: SECRET.text });
    expect([status, body]).toEqual([503, refusal('UNAVAILABLE', 'why')]);
    expect(steps).toEqual([]);
    expect(entries).toMatchObject([{ decision: 'refused', reason }]);
  });

  test('because of a fault is answered with 500, without its text', async () => {
    const change = async () => {
      throw Object.assign(new Error('/secret/path'), { code: 'exists' });
    };
    const { ask, logged, entries } = await serveEnrolments({ found: enrolment(), change });
    const { status, body } = await ask('POST', { token: SECRET.text });
    expect([status, body]).toEqual([500, refusal('UNKNOWN', 'the enrolment failed')]);
    expect(logged).toEqual([['error', 'endpoint-failed']]);
    expect(entries).toMatchObject([{ decision: 'refused', reason: 'internal' }]);
  });
});

test.each<[string, unknown]>([
  ['nothing', {}],
  ['a number', { token: 7 }],
  ['another cloud', { oci: 'x' }],
  ['AWS without a signature', { aws: { document: '{}' } }],
  ['AWS without a document', { aws: { signature: 'x' } }],
  ['Azure without a challenge', { azure: { document: 'x', secret: 's'.repeat(43) } }],
  ['Azure without a secret', { azure: { document: 'x', challenge: 'x' } }],
  ['Azure without a document', { azure: { challenge: 'x', secret: 's'.repeat(43) } }],
  ['a list of tokens', { gcp: ['x'] }],
])('a body with %s is no enrolment', async (_, body) => {
  const { ask, steps, entries } = await serveEnrolments({ verdict: known() });
  const answer = await ask('POST', body);
  expect([answer.status, answer.body]).toEqual([400, refusal('UNSUPPORTED')]);
  expect(steps).toEqual([]);
  expect(entries).toMatchObject([{ decision: 'refused', reason: 'invalid-body' }]);
});

describe('a challenge', () => {
  test('is made for the commitment and the address of the client', async () => {
    const { ask } = await serveEnrolments({ createChallenge: (...asked) => asked.join(' for ') });
    const { status, body, headers } = await ask('GET', undefined, `?commitment=${COMMITMENT}`);
    expect([status, body]).toEqual([200, { challenge: `${COMMITMENT} for 192.0.2.7` }]);
    expect(headers.get('cache-control')).toBe('no-store');
  });

  test.each([
    '',
    '?commitment=',
    `?commitment=x${COMMITMENT}`,
    `?commitment=${COMMITMENT}x`,
    `?commitment=${COMMITMENT}%0a`,
    `?commitment=${COMMITMENT.slice(1)}`,
    `?commitment=${COMMITMENT.slice(1)}.`,
    `?Commitment=${COMMITMENT}`,
    `?commitment=${COMMITMENT}&commitment=${COMMITMENT}`,
  ])('is not made for %j', async (query) => {
    const { ask, entries } = await serveEnrolments({ createChallenge: () => 'made' });
    const { status, body } = await ask('GET', undefined, query);
    expect([status, body]).toEqual([400, refusal('UNSUPPORTED')]);
    expect(entries).toMatchObject([{ decision: 'refused', operation: 'enrol' }]);
  });

  test('is refused for a minute once there were too many', async () => {
    const { ask, entries } = await serveEnrolments({ createChallenge: () => undefined });
    const { status, body, headers } = await ask('GET', undefined, `?commitment=${COMMITMENT}`);
    expect([status, body]).toEqual([429, refusal('TOOMANYREQUESTS')]);
    expect(headers.get('retry-after')).toBe('60');
    expect(entries).toMatchObject([{ decision: 'refused', reason: 'too-many-challenges' }]);
  });

  test.each<[string, Site, string]>([
    ['GET', {}, 'POST'],
    ['PUT', {}, 'POST'],
    ['PUT', { createChallenge: () => 'made' }, 'GET, POST'],
    ['DELETE', { createChallenge: () => 'made' }, 'GET, POST'],
  ])('has a path that does not take %s', async (method, site, allow) => {
    const { ask, entries } = await serveEnrolments(site);
    const { status, body, headers } = await ask(method, undefined, `?commitment=${COMMITMENT}`);
    expect([status, body]).toEqual([405, refusal('UNSUPPORTED')]);
    expect(headers.get('allow')).toBe(allow);
    expect(entries).toMatchObject([{ decision: 'refused', reason: 'method-not-allowed' }]);
  });
});
