import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createSealer } from '../../../src/lib/seal.ts';
import { azureInstance } from '../../../src/site/enrolment/azure-identity.ts';
import { azureNonce, commitmentTo, createAzureSecret } from '../../../src/site/enrolment/azure-nonce.ts';
import { CHALLENGE_MS, createChallenges } from '../../../src/site/enrolment/challenge.ts';
import { readSignedMessage } from '../../../src/site/enrolment/signed-message.ts';
import { leafFor } from '../../support/azure-signer.ts';
import { type CloudKeys, createCloudKeys } from '../../support/cloud-keys.ts';
import { temporaryFolder } from '../../support/folder.ts';
import { azureContent } from '../../support/metadata-service.ts';

const ORIGIN = 'https://hub.example.org';
const ANSWER = { challenge: 'a challenge', secret: 's'.repeat(43) };
const VM = {
  subscriptionId: '8d10da13-8125-4ba9-a717-bf7490507b3d',
  vmId: '02AAB8A4-74ef-476e-8182-f6d2ba4166a6',
};
const NONCE = azureNonce(ANSWER, ORIGIN);
const HOUR_MS = 3600_000;

const fixture = (name: string) =>
  readFileSync(new URL(`../../fixtures/azure/${name}`, import.meta.url), 'utf8');
const recorded = (name: string): string => JSON.parse(fixture(name)).signature;

let keys: CloudKeys;
let authorities: string;
beforeAll(async () => {
  keys = await createCloudKeys();
  authorities = `${keys.azure.root.pem}${keys.azure.intermediate.pem}`;
});
afterAll(() => keys?.openssl.remove());

interface Verifying {
  /** Undefined: the site did not make the challenge. */
  readonly challengedMs?: number | undefined;
  readonly keys?: string;
  readonly nowMs?: number;
}

function verified(document: string, more: Verifying = {}) {
  const { nowMs = Date.now() } = more;
  const askedMs = 'challengedMs' in more ? more.challengedMs : nowMs;
  const context = { audience: ORIGIN, nowMs, challengedMs: () => askedMs };
  return azureInstance({ document, ...ANSWER }, more.keys ?? authorities, context);
}

const signed = (content = azureContent(VM, NONCE), signer = keys.azure.signer, args?: readonly string[]) =>
  keys.openssl.sign(content, signer, args);

test('the recorded document names its VM, subscription and region', () => {
  const nowMs = Date.UTC(2026, 10, 28, 10, 0, 30);
  const context = { audience: ORIGIN, challengedMs: () => nowMs, nowMs };
  const presented = { document: recorded('document.json'), challenge: 'recorded', secret: 'r'.repeat(43) };
  const pem = fixture('root.pem') + fixture('intermediate.pem');
  expect(azureInstance(presented, pem, context)).toEqual({
    ...{ cloud: 'azure', region: 'westeurope', sinceMs: Date.UTC(2026, 10, 28, 10) },
    ...{ id: '02aab8a4-74ef-476e-8182-f6d2ba4166a6', kind: '02aab8a4-74ef-476e-8182-f6d2ba4166a6' },
    owner: '8d10da13-8125-4ba9-a717-bf7490507b3d',
  });
  // Node.js's own list of roots knows nothing of this one.
  expect(azureInstance(presented, fixture('intermediate.pem'), context)).toBeUndefined();
});

test('the example in Azure’s documentation is parsed, and refused because its certificate is self-signed', () => {
  const message = readSignedMessage(Buffer.from(recorded('documented.json'), 'base64'));
  expect(JSON.parse(String(message?.content))).toMatchObject({
    nonce: '1234566766',
    timeStamp: { createdOn: '11/20/18 22:07:39 -0000' },
  });
  expect(message).toMatchObject({ digest: 'sha256', certificates: { length: 1 } });
  const certificate = message?.certificates[0]?.toString() ?? '';
  const nowMs = Date.UTC(2018, 10, 20, 22, 8);
  expect(verified(recorded('documented.json'), { keys: certificate, nowMs })).toBeUndefined();
});

test('a document is valid from its creation to its end, with a tolerance of half a minute', async () => {
  // The certificate is valid from just now on.
  const nowMs = Date.now() + HOUR_MS;
  const document = await signed(azureContent(VM, NONCE, nowMs));
  const seconds = Math.floor(nowMs / 1000) * 1000;
  expect(verified(document, { nowMs: seconds - 30_000 })?.sinceMs).toBe(seconds);
  const challengedMs = seconds;
  expect(verified(document, { nowMs: seconds + 6 * HOUR_MS + 30_000, challengedMs })?.sinceMs).toBe(seconds);
  expect(verified(document, { nowMs: seconds - 31_000 })).toBeUndefined();
  expect(verified(document, { nowMs: seconds + 6 * HOUR_MS + 31_000, challengedMs })).toBeUndefined();
});

test('a document is refused when it is more than half a minute older than its challenge', async () => {
  const nowMs = Date.now();
  const document = await signed(azureContent(VM, NONCE, nowMs));
  const seconds = Math.floor(nowMs / 1000) * 1000;
  expect(verified(document, { nowMs, challengedMs: seconds + 30_000 })?.sinceMs).toBe(seconds);
  expect(verified(document, { nowMs, challengedMs: seconds + 30_001 })).toBeUndefined();
});

test.each(['azure.com', 'azure.us', 'azure.cn', 'microsoftazure.de'])(
  'a certificate for metadata.%s is Azure’s, and names its region when it has one',
  async (domain) => {
    const make = (names: readonly string[]) =>
      keys.openssl.make({ issuer: keys.azure.intermediate, extensions: leafFor(names) });
    const both = await make([`metadata.${domain}`, `northeurope.metadata.${domain}`]);
    expect(verified(await signed(undefined, both))?.region).toBe('northeurope');
    const alone = await make([`metadata.${domain}`]);
    expect(verified(await signed(undefined, alone))?.region).toBe('');
  },
);

describe('a document is refused', () => {
  test.each([
    ['evilmetadata.azure.com'],
    ['metadata.azure.com.example.org'],
    ['metadata.azure.de'],
    ['management.azure.com'],
    ['westeurope.evil.metadata.azure.com'],
    ['west-europe.metadata.azure.com'],
    ['.metadata.azure.com'],
    ['metadata.azure.com.'],
    ['metadataXazure.com'],
  ])('when its certificate is for %s', async (name) => {
    const signer = await keys.openssl.make({ issuer: keys.azure.intermediate, extensions: leafFor([name]) });
    expect(verified(await signed(undefined, signer))).toBeUndefined();
  });

  test('when only the subject of its certificate names Azure', async () => {
    const extensions = ['basicConstraints=critical,CA:FALSE'];
    const subject = '/CN=metadata.azure.com';
    const signer = await keys.openssl.make({ issuer: keys.azure.intermediate, extensions, subject });
    expect(verified(await signed(undefined, signer))).toBeUndefined();
  });

  test('when one name in its certificate looks like several', async () => {
    const extensions = ['subjectAltName=@names', '[names]', 'DNS.1=a\\, DNS:metadata.azure.com\\, b'];
    const signer = await keys.openssl.make({ issuer: keys.azure.intermediate, extensions });
    expect(verified(await signed(undefined, signer))).toBeUndefined();
  });

  test('when no authority has issued its certificate', async () => {
    const signer = await keys.openssl.make({ extensions: leafFor(['metadata.azure.com']) });
    expect(verified(await signed(undefined, signer))).toBeUndefined();
    // Not even when the message brings its own authority.
    const root = await keys.openssl.make({ extensions: ['basicConstraints=critical,CA:TRUE'] });
    const below = await keys.openssl.make({ issuer: root, extensions: leafFor(['metadata.azure.com']) });
    const document = await signed(undefined, below, ['-noattr', '-certfile', root.certFile]);
    expect(readSignedMessage(Buffer.from(document, 'base64'))?.certificates).toHaveLength(2);
    expect(verified(document)).toBeUndefined();
  });

  test('when it answers another challenge, or for another site', async () => {
    const document = await signed();
    expect(verified(document)).toBeDefined();
    expect(verified(document, { challengedMs: undefined })).toBeUndefined();
    for (const nonce of [
      azureNonce({ ...ANSWER, challenge: 'another' }, ORIGIN),
      azureNonce({ ...ANSWER, secret: 't'.repeat(43) }, ORIGIN),
      azureNonce(ANSWER, 'https://evil.example'),
      '',
    ]) {
      expect(verified(await signed(azureContent(VM, nonce)))).toBeUndefined();
    }
  });

  test.each<[string, object]>([
    ['has no subscription', { subscriptionId: undefined }],
    ['has a subscription that is no UUID', { subscriptionId: '*' }],
    ['has a VM ID that is a path', { vmId: '../../x' }],
    [
      'has a time in another form',
      { timeStamp: { createdOn: '2026-11-27T10:00:00Z', expiresOn: '2026-11-27T16:00:00Z' } },
    ],
    [
      'has a day that no month has',
      { timeStamp: { createdOn: '11/41/26 10:00:00 -0000', expiresOn: '11/41/26 16:00:00 -0000' } },
    ],
  ])('when it %s', async (_, change) => {
    expect(verified(await signed(azureContent({ ...VM, ...change }, NONCE)))).toBeUndefined();
  });

  test('when its content is not JSON', async () => {
    expect(verified(await signed('nonce=1'))).toBeUndefined();
  });

  test('when it has a name twice', async () => {
    const written = azureContent(VM, NONCE);
    const repeated = written.replace(/\}\s*$/, `,"nonce":"${NONCE}"}`);
    expect(JSON.parse(repeated)).toEqual(JSON.parse(written));
    expect(verified(await signed(written))).toBeDefined();
    expect(verified(await signed(repeated))).toBeUndefined();
  });

  test('when it has signed attributes, which Azure does not write', async () => {
    expect(verified(await signed(undefined, undefined, []))).toBeUndefined();
  });

  test('when any byte of content or signature was changed', async () => {
    const bytes = Buffer.from(await signed(), 'base64');
    const { content, signature } = readSignedMessage(bytes) ?? {};
    const places = [content, signature].map((part) => bytes.indexOf(part ?? '?'));
    expect(places.every((at) => at > 0)).toBe(true);
    for (const at of places.flatMap((start) => [start, start + 1, start + 100])) {
      const changed = Buffer.from(bytes);
      changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
      expect(verified(changed.toString('base64')), `byte ${at}`).toBeUndefined();
    }
  });

  test('when it is truncated, empty or not a CMS message', async () => {
    const bytes = Buffer.from(await signed(), 'base64');
    for (let length = 0; length < bytes.length; length += 7) {
      expect(verified(bytes.subarray(0, length).toString('base64'))).toBeUndefined();
    }
    for (const other of ['', '%', 'MAA=', Buffer.alloc(9_000, '\x30\x80').toString('base64')]) {
      expect(verified(other)).toBeUndefined();
    }
  });
});

test('a message with more certificates than a chain has is refused', async () => {
  const { root, intermediate, signer } = keys.azure;
  const others = await Promise.all([1, 2].map(() => keys.openssl.make({ extensions: [] })));
  const withOthers = async (count: number) => {
    const pems = [root, intermediate, ...others].slice(0, count).map(({ pem }) => pem);
    const file = join(temporaryFolder(), 'others.pem');
    writeFileSync(file, pems.join(''));
    return verified(await signed(undefined, signer, ['-noattr', '-certfile', file]));
  };
  expect(await withOthers(3)).toBeDefined();
  expect(await withOthers(4)).toBeUndefined();
});

test('a certificate in a message whose key is of no use for its signature is passed over', async () => {
  const { root, signer } = keys.azure;
  const other = await keys.openssl.make({ issuer: root, extensions: [], key: ['-algorithm', 'ED25519'] });
  const document = await signed(undefined, signer, ['-noattr', '-certfile', other.certFile]);
  const certificates = readSignedMessage(Buffer.from(document, 'base64'))?.certificates ?? [];
  expect(certificates.map(({ publicKey }) => publicKey.asymmetricKeyType)).toEqual(['ed25519', 'rsa']);
  expect(verified(document)).toMatchObject({ region: 'westeurope' });
});

describe('a challenge', () => {
  const KEY = Buffer.alloc(32, 7);
  const SECRET = createAzureSecret();
  const COMMITMENT = commitmentTo(SECRET);
  const made = (key: Uint8Array, wallClock: () => number, address = '192.0.2.1') =>
    createChallenges(key, wallClock).create(COMMITMENT, address) ?? '';

  test('is new each time, and every replica with the same key accepts it for a minute', () => {
    let nowMs = 1e12;
    const challenge = made(KEY, () => nowMs);
    expect(made(KEY, () => nowMs)).not.toBe(challenge);
    const other = createChallenges(KEY, () => nowMs);
    expect(other.sinceMs({ challenge, secret: SECRET })).toBe(1e12);
    // The clock of another replica may be behind.
    for (const [differenceMs, sinceMs] of [
      ...([
        [60_000, 1e12],
        [60_001, undefined],
      ] as const),
      ...([
        [-60_000, 1e12],
        [-60_001, undefined],
      ] as const),
    ]) {
      nowMs = 1e12 + differenceMs;
      expect(other.sinceMs({ challenge, secret: SECRET }), `${differenceMs} ms`).toBe(sinceMs);
    }
  });

  test('is not accepted when it is from another site, for another secret, or forged', () => {
    const own = createChallenges(KEY, Date.now);
    const challenge = made(KEY, Date.now);
    expect(own.sinceMs({ challenge, secret: SECRET })).toBeDefined();
    expect(own.sinceMs({ challenge: made(Buffer.alloc(32, 8), Date.now), secret: SECRET })).toBeUndefined();
    // What the same key has sealed for another use is no challenge.
    const sealed = (use: string) => createSealer(use, KEY).seal(String(Date.now()), COMMITMENT);
    expect(own.sinceMs({ challenge: sealed('metahub enrolment challenges'), secret: SECRET })).toBeDefined();
    for (const use of ['', 'metahub logins'])
      expect(own.sinceMs({ challenge: sealed(use), secret: SECRET })).toBeUndefined();
    // Whoever could choose the secret after the challenge would try until the nonce fits.
    expect(own.sinceMs({ challenge, secret: createAzureSecret() })).toBeUndefined();
    for (const madeUp of ['', String(Date.now()), challenge.slice(1)])
      expect(own.sinceMs({ challenge: madeUp, secret: SECRET })).toBeUndefined();
  });

  test('leads to a nonce of ten digits, which differs for each site', () => {
    const nonces = ['https://a.example', 'https://b.example'].map((origin) => azureNonce(ANSWER, origin));
    expect(new Set(nonces).size).toBe(2);
    for (const nonce of nonces) expect(nonce).toMatch(/^\d{10}$/);
  });

  test('is created at most a thousand times a minute for an address; an IPv6 network counts as one', () => {
    let nowMs = CHALLENGE_MS * 1000;
    const challenges = createChallenges(KEY, () => nowMs);
    const given = (addresses: readonly string[]) =>
      addresses.filter((address) => challenges.create(COMMITMENT, address) !== undefined).length;
    expect(given(Array(1_001).fill('192.0.2.1'))).toBe(1_000);
    expect(given(Array.from({ length: 1_001 }, (_, at) => `2001:db8::${at.toString(16)}`))).toBe(1_000);
    expect(given(['192.0.2.2'])).toBe(1);
    nowMs += CHALLENGE_MS;
    expect(given(['192.0.2.1'])).toBe(1);
  });

  test('is created at most a hundred thousand times a minute in total', () => {
    const challenges = createChallenges(KEY, () => CHALLENGE_MS);
    let given = 0;
    for (let at = 0; at < 100_100; at++)
      if (challenges.create(COMMITMENT, `10.0.${at % 200}.1`) !== undefined) given++;
    expect(given).toBe(100_000);
  });
});
