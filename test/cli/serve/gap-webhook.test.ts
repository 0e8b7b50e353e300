import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { type CloudEvent, HTTP } from 'cloudevents';
import { Webhook, WebhookVerificationError } from 'standardwebhooks';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { openConnection } from '../../../src/cli/open-upstream.ts';
import { openGapRecord } from '../../../src/cli/serve/gap-record.ts';
import { GapWebhook, prepareGapWebhook } from '../../../src/cli/serve/gap-webhook.ts';
import { registerGapEvents } from '../../../src/cli/serve/metrics.ts';
import { MEDIA_TYPE } from '../../../src/oci/media-type.ts';
import { type Gap, parseGaps } from '../../../src/selection/gap-schema.ts';
import { createMetrics } from '../../../src/server/metrics.ts';
import type { Body } from '../../../src/upstream/http/body.ts';
import type { Outgoing, Reply } from '../../../src/upstream/http/transport.ts';
import {
  type Handler,
  type RecordedRequest,
  startServer,
  type TestServer,
} from '../../support/hostile-registry.ts';
import { dataDirectory } from '../../support/store.ts';
import { turns } from '../../support/turns.ts';
import { afterTest, closing } from '../../support/upstream.ts';
import { startWholeMirror, type WholeMirror } from '../../support/whole-mirror.ts';
import { openWorkplace, type Workplace } from '../../support/workplace.ts';

const SOURCE = 'https://hub.example.org';
const EVENT_SCHEMA = new URL('../../../schema/gap-event.schema.json', import.meta.url);

function gapOf(tag: string): Gap {
  return {
    image: `docker.io/qnib/bench:${tag}`,
    fit: 'older',
    platform: 'linux/amd64',
    wanted: ['cpu:zen4'],
    isMarked: true,
    served: 'cpu:broadwell',
    pulls: 1,
    hosts: ['a'],
    firstAt: '2026-11-26T10:00:00.000Z',
    lastAt: '2026-11-26T10:00:00.000Z',
  };
}

function newSecret(): string {
  return `whsec_${randomBytes(32).toString('base64')}`;
}

async function secretFile(...lines: readonly string[]): Promise<string> {
  const file = join(await dataDirectory(), 'webhook.secret');
  writeFileSync(file, `${lines.join('\n')}\n`, { mode: 0o600 });
  return file;
}

function verified({ headers, body }: RecordedRequest, secret: string): unknown {
  return new Webhook(secret).verify(body, headers as Record<string, string>);
}

function eventOf({ headers, body }: RecordedRequest): CloudEvent<Record<string, unknown>> {
  return HTTP.toEvent<Record<string, unknown>>({ headers, body }) as CloudEvent<Record<string, unknown>>;
}

const accept: Handler = (_request, response) => void response.writeHead(204).end();

async function receiver(handler: Handler = accept): Promise<TestServer> {
  return closing(await startServer(handler));
}

interface Options {
  readonly secrets?: readonly string[];
  readonly timeoutMs?: number;
  readonly attemptsMax?: number;
  readonly source?: string;
}

async function openWebhook(url: string, { secrets = [newSecret()], ...rest }: Options = {}) {
  const metrics = createMetrics();
  const log: string[] = [];
  const file = await secretFile(...secrets);
  const webhook = new GapWebhook({
    url: new URL(url),
    secretFile: file,
    source: SOURCE,
    transport: openConnection(new URL(url).origin).transport,
    log: (level, event, message, fields) => log.push(JSON.stringify([level, event, message, fields])),
    events: registerGapEvents(metrics),
    now: Date.now,
    retryMs: 1,
    ...rest,
  });
  afterTest(() => webhook.close());
  const done: string[] = [];
  const offer = (tag: string) => webhook.offer(gapOf(tag), () => done.push(tag));
  const counted = (result: string) =>
    Number(new RegExp(`metahub_gap_events_total\\{result="${result}"\\} (\\d+)`).exec(metrics.text())?.[1]);
  return { webhook, offer, done, log, counted, metrics, file };
}

describe('GapWebhook', () => {
  test('sends a CloudEvent that matches its schema and is signed by Standard Webhooks', async () => {
    const secret = newSecret();
    const { url, requests } = await receiver();
    const { offer, done } = await openWebhook(`${url}/hook?team=hpc`, { secrets: [secret] });
    offer('latest');
    await expect.poll(() => done).toEqual(['latest']);
    const [request] = requests as readonly [RecordedRequest];
    expect(`${request.method} ${request.target}`).toBe('POST /hook?team=hpc');
    expect(verified(request, secret)).toMatchObject({ specversion: '1.0' });
    expect(() => verified({ ...request, body: request.body.replace('zen4', 'zen5') }, secret)).toThrow(
      WebhookVerificationError,
    );
    const event = eventOf(request);
    event.validate();
    expect(event).toMatchObject({
      id: request.headers['webhook-id'],
      source: SOURCE,
      type: 'io.github.qnib.metahub.gap',
      subject: 'docker.io/qnib/bench:latest',
      time: '2026-11-26T10:00:00.000Z',
      data: { wanted: ['cpu:zen4'], build: { cflags: '-march=znver4 -mtune=znver4' } },
    });
    const ajv = new Ajv2020({ strict: true, formats: { 'date-time': true } });
    const validate = ajv.compile(JSON.parse(readFileSync(EVENT_SCHEMA, 'utf8')));
    expect(validate(event.data), JSON.stringify(validate.errors)).toBe(true);
  });

  test('sends an event again with the same id until the receiver accepts it', async () => {
    const statuses = [500, 429, 400, 200];
    const { url, requests } = await receiver((_request, response) => {
      response.writeHead(statuses.shift() ?? 200).end('an answer');
    });
    const { offer, done, counted, log } = await openWebhook(url);
    offer('latest');
    await expect.poll(() => done).toEqual(['latest']);
    expect(requests).toHaveLength(4);
    expect(new Set(requests.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
    expect([counted('failed'), counted('delivered')]).toEqual([3, 1]);
    expect(log.map((line) => JSON.parse(line)[1])).toEqual(['gap-webhook-fails', 'gap-webhook-works']);
  });

  test('waits as long as Retry-After demands', async () => {
    const times: number[] = [];
    const { url } = await receiver((_request, response) => {
      times.push(performance.now());
      if (times.length > 1) response.writeHead(204).end();
      else response.writeHead(503, { 'retry-after': '1' }).end();
    });
    const { offer, done } = await openWebhook(url);
    offer('latest');
    await expect.poll(() => done).toEqual(['latest']);
    expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThan(990);
  });

  test('follows no redirect', async () => {
    const elsewhere = await receiver();
    const { url, requests } = await receiver((_request, response) => {
      response.writeHead(307, { location: `${elsewhere.url}/stolen` }).end();
    });
    const { offer, done, counted } = await openWebhook(url, { attemptsMax: 2 });
    offer('latest');
    await expect.poll(() => counted('given-up')).toBe(1);
    expect(requests).toHaveLength(2);
    expect(elsewhere.requests).toEqual([]);
    expect(done).toEqual([]);
  });

  test('aborts a request without a timely answer and sends the event again', async () => {
    let asked = 0;
    const { url } = await receiver((_request, response) => {
      asked += 1;
      if (asked > 1) response.writeHead(204).end();
    });
    const { offer, done, log } = await openWebhook(url, { timeoutMs: 50 });
    offer('latest');
    await expect.poll(() => done).toEqual(['latest']);
    expect(log[0]).toContain('gap-webhook-fails');
  });

  test('delivers other events while the receiver refuses one', async () => {
    const { url } = await receiver((request, response) => {
      response.writeHead(request.body.includes('bench:poison') ? 400 : 204).end();
    });
    const { offer, done } = await openWebhook(url);
    for (const tag of ['poison', 'a', 'b']) offer(tag);
    await expect.poll(() => done).toEqual(['a', 'b']);
  });

  test('queues 1,000 events for a receiver that is down, then drops the oldest', async () => {
    const { webhook, offer, counted, metrics } = await openWebhook('http://127.0.0.1:1');
    for (let at = 0; at < 1_002; at += 1) offer(`v${at}`);
    offer('v1001');
    expect(counted('dropped')).toBe(2);
    expect(metrics.text()).toContain('metahub_gap_events_waiting 1000');
    await webhook.close();
  });

  test('close() does not wait for a silent receiver', async () => {
    const asked = new EventTarget();
    const { url } = await receiver(() => void asked.dispatchEvent(new Event('asked')));
    // Longer than a test may take.
    const { webhook, offer, done } = await openWebhook(url, { timeoutMs: 600_000 });
    const arrival = once(asked, 'asked');
    offer('latest');
    await arrival;
    await webhook.close();
    expect(done).toEqual([]);
  });

  test('signs each event with all secrets that the file holds at that time', async () => {
    const [old, next] = [newSecret(), newSecret()];
    const { url, requests } = await receiver();
    const { offer, done, file } = await openWebhook(url, { secrets: [old] });
    writeFileSync(file, `${old}\n${next}\n`);
    offer('latest');
    await expect.poll(() => done).toEqual(['latest']);
    const [request] = requests as readonly [RecordedRequest];
    for (const secret of [old, next]) expect(verified(request, secret)).toMatchObject({ specversion: '1.0' });
  });

  test('sends gaps of one image on two platforms as two events', async () => {
    const { url, requests } = await receiver();
    const { webhook, offer, done } = await openWebhook(url);
    for (const platform of ['linux/amd64', 'linux/arm64']) {
      webhook.offer({ ...gapOf('latest'), platform }, () => done.push(platform));
    }
    offer('last');
    await expect.poll(() => done).toContain('last');
    expect(done).toEqual(['linux/amd64', 'linux/arm64', 'last']);
    expect(new Set(requests.map(({ headers }) => headers['webhook-id'])).size).toBe(3);
  });

  test('gives the same gap of two senders two ids', async () => {
    const { url, requests } = await receiver();
    const senders = [await openWebhook(url), await openWebhook(url, { source: 'https://other.example.org' })];
    for (const { offer } of senders) offer('latest');
    await expect.poll(() => requests.length).toBe(2);
    expect(new Set(requests.map(({ headers }) => headers['webhook-id'])).size).toBe(2);
  });

  test('logs why a secret is unusable without showing it', async () => {
    const secret = newSecret();
    const { url, requests } = await receiver();
    const { offer, counted, log, file } = await openWebhook(url, { secrets: [secret] });
    chmodSync(file, 0o644);
    offer('latest');
    await expect.poll(() => counted('failed')).toBeGreaterThan(0);
    expect(requests).toEqual([]);
    expect(log.join()).toContain('has mode 0644: others may read or change it');
    expect(log.join()).not.toContain(secret.slice(6, 20));
  });
});

describe('a webhook with its usual times', () => {
  /** A receiver that refuses every event; when MetaHub has sent one, in milliseconds, and with which limits. */
  async function refusing(headers: Readonly<Record<string, string>> = {}) {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    afterTest(() => void vi.useRealTimers());
    const sentMs: number[] = [];
    const headMs: unknown[] = [];
    let read = 0;
    const url = new URL('http://127.0.0.1/hook');
    const send = async (outgoing: Outgoing): Promise<Reply> => {
      sentMs.push(performance.now());
      headMs.push(outgoing.headMs);
      const body: Body = {
        read: async () => {
          read += 1;
        },
        cancel: () => {},
      };
      return { status: 503, headers, url, target: '/hook', body };
    };
    const metrics = createMetrics();
    const webhook = new GapWebhook({
      ...{ url, secretFile: await secretFile(newSecret()), source: SOURCE, log: () => {}, now: Date.now },
      transport: { send, close: async () => {} },
      events: registerGapEvents(metrics),
    });
    afterTest(() => webhook.close());
    webhook.offer(gapOf('latest'), () => {});
    const startMs = performance.now();
    const isGivenUp = () => metrics.text().includes('gap_events_total{result="given-up"} 1');
    /** Lets the attempt that is due run, which reads the file of secrets. */
    const settle = async (attempts: number) => {
      vi.advanceTimersByTime(0);
      while (sentMs.length < attempts) await turns(1);
      while (vi.getTimerCount() === 0 && !isGivenUp()) await turns(1);
    };
    return { sentMs, headMs, settle, startMs, isGivenUp, read: () => read };
  }

  test('gives a receiver ten seconds', async () => {
    const { settle, headMs } = await refusing();
    await settle(1);
    expect(headMs).toEqual([10_000]);
  });

  test('waits an hour at most, though the receiver demands more', async () => {
    const { settle, sentMs, startMs } = await refusing({ 'retry-after': '999999' });
    await settle(1);
    vi.advanceTimersByTime(60 * 60_000 - 1);
    expect(sentMs).toEqual([startMs]);
    vi.advanceTimersByTime(1);
    await settle(2);
    expect(sentMs).toEqual([startMs, startMs + 60 * 60_000]);
  });

  test('sends an event fourteen times, with pauses from five seconds to an hour', async () => {
    const { settle, sentMs, isGivenUp } = await refusing();
    for (let attempts = 1; !isGivenUp() && attempts < 20; attempts += 1) {
      await settle(attempts);
      vi.advanceTimersToNextTimer();
    }
    expect(sentMs).toHaveLength(14);
    const pauses = sentMs.slice(1).map((atMs, at) => atMs - (sentMs[at] ?? 0));
    for (const [at, pauseMs] of pauses.entries()) {
      const meanMs = Math.min(5000 * 4 ** at, 60 * 60_000);
      expect(pauseMs).toBeGreaterThanOrEqual(0.8 * meanMs - 1);
      expect(pauseMs).toBeLessThanOrEqual(1.2 * meanMs + 1);
    }
  });

  test.each([
    [64 * 1024, 1],
    [64 * 1024 + 1, 0],
  ])('of an answer of %d bytes reads %d', async (sizeBytes, count) => {
    const { settle, read } = await refusing({ 'content-length': String(sizeBytes) });
    await settle(1);
    expect(read()).toBe(count);
  });
});

describe('prepareGapWebhook()', () => {
  const parts = () => ({ log: () => {}, events: registerGapEvents(createMetrics()) });

  test.each([
    [undefined, '--gap-webhook needs a secret'],
    ['hunter2-is-no-secret', 'holds no secret: whsec_ and 24 to 64 bytes in base64'],
    ['whsec_c2hvcnQ=', 'holds no secret'],
  ])('refuses the secret %j', async (secret, why) => {
    const gapWebhookSecret = secret === undefined ? undefined : await secretFile(secret);
    const opening = prepareGapWebhook(
      'http://127.0.0.1:1',
      { gapWebhookSecret, siteUrl: undefined },
      parts(),
    );
    await expect(opening).rejects.toThrow(why);
    await expect(opening).rejects.not.toThrow('hunter2');
  });

  test('warns of a receiver beyond loopback without TLS', async () => {
    const lines: unknown[] = [];
    const log = (_level: string, event: string, _message: string, fields?: object) =>
      lines.push({ event, ...fields });
    const gapWebhookSecret = await secretFile(newSecret());
    const url = 'http://ci.example.org/hooks/a-token-in-the-path';
    const open = await prepareGapWebhook(url, { gapWebhookSecret, siteUrl: undefined }, { ...parts(), log });
    await open().close();
    expect(lines).toEqual([{ event: 'gap-webhook-in-clear', receiver: 'http://ci.example.org' }]);
  });

  test.each(['http://127.0.0.2:1/', 'http://[::1]:1/', 'https://ci.example.org/'])(
    'does not warn of %s',
    async (url) => {
      const events: string[] = [];
      const log = (_level: string, event: string) => void events.push(event);
      const gapWebhookSecret = await secretFile(newSecret());
      await prepareGapWebhook(url, { gapWebhookSecret, siteUrl: undefined }, { ...parts(), log });
      expect(events).toEqual([]);
    },
  );
});

describe('a mirror with a webhook', () => {
  let workplace: Workplace;
  let mirror: WholeMirror;
  let hook: TestServer;
  let status = 204;
  const secret = newSecret();
  const tagged = () =>
    hook.requests.filter((request) => verified(request, secret)).map((request) => eventOf(request).subject);
  const get = async (tag: string) => {
    const answer = await fetch(`${mirror.metahub.url}/v2/qnib/bench/manifests/${tag}`, {
      headers: { accept: MEDIA_TYPE.ociIndex },
    });
    expect(answer.status).toBe(200);
    await answer.arrayBuffer();
  };

  function pushIndex(tag: string, features: readonly string[]): void {
    const { content } = mirror;
    const { manifest } = mirror.push(100);
    const size = content.manifests.get(manifest)?.bytes.length;
    const entry = { mediaType: MEDIA_TYPE.ociManifest, digest: manifest, size };
    const platform = { os: 'linux', architecture: 'amd64' };
    const manifests = [
      { ...entry, platform },
      ...(features.length === 0 ? [] : [{ ...entry, platform: { ...platform, features } }]),
    ];
    content.putManifest(
      { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests },
      MEDIA_TYPE.ociIndex,
      tag,
    );
  }

  beforeAll(async () => {
    workplace = openWorkplace();
    hook = await startServer((_request, response) => void response.writeHead(status).end());
    workplace.onClose(hook.close);
    const file = join(workplace.directory, 'webhook.secret');
    writeFileSync(file, secret, { mode: 0o600 });
    mirror = await startWholeMirror(workplace, {
      host: 'cpu:zen4',
      args: ['--gap-webhook', `${hook.url}/hook`, '--gap-webhook-secret', file],
    });
    pushIndex('latest', ['cpu:haswell']);
    pushIndex('second', ['cpu:haswell']);
    pushIndex('plain', []);
  });
  afterAll(() => workplace?.close());

  test('sends one event for a gap after repeated pulls, and none for an image without variants', async () => {
    await get('plain');
    for (let at = 0; at < 3; at += 1) await get('latest');
    await expect.poll(tagged).toEqual(['docker.io/qnib/bench:latest']);
  });

  test('sends only undelivered events after a restart', async () => {
    status = 500;
    await get('second');
    await expect.poll(tagged).toEqual(['docker.io/qnib/bench:latest', 'docker.io/qnib/bench:second']);
    status = 204;
    await mirror.metahub.restart();
    await get('latest');
    await expect.poll(() => tagged().slice(1)).toEqual(Array(2).fill('docker.io/qnib/bench:second'));
    await mirror.metahub.restart();
    await get('second');
    const answer = await fetch(`${mirror.metahub.url}/api/v1/gaps`);
    const gaps = parseGaps(await answer.json());
    expect(gaps.filter(({ isMarked }: Gap) => isMarked)).toEqual(
      Array(2).fill(expect.objectContaining({ notifiedAt: expect.any(String) })),
    );
    expect(tagged()).toHaveLength(3);
  });
});

test('GapRecord offers undelivered gaps of images with variants to the webhook, again after a restart', async () => {
  const data = await dataDirectory();
  const open = async () => {
    const offered: [Gap, () => void][] = [];
    const remembered: string[] = [];
    const webhook = {
      offer: (gap: Gap, done: () => void) => void offered.push([gap, done]),
      remember: (gap: Gap) => void remembered.push(gap.image),
      close: async () => {},
    };
    const record = await openGapRecord({
      ...{ data, webhook, log: () => {}, metrics: createMetrics(), now: () => new Date() },
    });
    return { record, offered, remembered };
  };
  const { writeGaps } = await import('../../../src/cli/gap-file.ts');
  await writeGaps(data, [gapOf('a'), gapOf('b'), { ...gapOf('c'), isMarked: false }]);
  const first = await open();
  first.record.announce();
  expect(first.offered.map(([{ image }]) => image)).toEqual([gapOf('a').image, gapOf('b').image]);
  first.offered[0]?.[1]();
  await first.record.close();
  const second = await open();
  expect(second.offered).toEqual([]);
  second.record.announce();
  expect(second.offered.map(([{ image }]) => image)).toEqual([gapOf('b').image]);
  expect(second.remembered).toEqual([gapOf('a').image]);
});
