import { request } from 'node:http';
import type { Socket } from 'node:net';
import { expect, test } from 'vitest';
import { NODE_FLAG } from '../../../packaging/program.ts';
import { MEDIA_TYPE } from '../../../src/oci/media-type.ts';
import { residentMibOf } from '../../soak/mirror.ts';
import type { Handler } from '../../support/hostile-registry.ts';
import { ask } from '../../support/served.ts';
import { afterTest, closing } from '../../support/upstream.ts';
import { startWholeMirror, type WholeMirror } from '../../support/whole-mirror.ts';
import { openWorkplace } from '../../support/workplace.ts';

// One client that asks for slow large documents, and another that pulls meanwhile.

const DOCUMENT_BYTES = 4 * 2 ** 20;
const ATTACKER = '127.0.0.66';

const index = (tag: string, padBytes: number): object => ({
  schemaVersion: 2,
  mediaType: MEDIA_TYPE.ociIndex,
  manifests: [],
  annotations: { tag, pad: 'x'.repeat(padBytes) },
});

const SLOW = Buffer.from(JSON.stringify(index('slow', DOCUMENT_BYTES - 300)));

/** Sends most of a 4 MiB document and never the rest, whatever tag of `slow` is asked for. */
const neverEnds: Handler = ({ method }, response) => {
  response.writeHead(200, { 'content-type': MEDIA_TYPE.ociIndex, 'content-length': SLOW.length });
  if (method === 'HEAD') response.end();
  else response.write(SLOW.subarray(0, -1));
};

/** A mirror of a registry that is slow in one repository, and the number of documents that it has begun to send there. */
async function mirrorOfSlow(): Promise<WholeMirror & { begun: () => number }> {
  const mirror = await startWholeMirror(closing(openWorkplace()), {
    args: ['--log-level', 'notice'],
    // As the packages start it.
    env: { NODE_OPTIONS: NODE_FLAG },
  });
  mirror.behave((req, response) => {
    if (req.url?.includes('/slow/')) neverEnds(req, response);
    else mirror.serveHonestly(req, response);
  });
  const begun = () => mirror.requests().filter((asked) => asked.startsWith('GET /v2/team/slow/')).length;
  return { ...mirror, begun };
}

interface Attack {
  /** How often it was sent away, by status. */
  readonly answers: ReadonlyMap<number, number>;
  /** Asks again for a hundred documents of which it was sent away: many times what may be on its way. */
  askAgain(): void;
}

/** Asks for `count` documents from an address of its own. */
function attack({ port }: WholeMirror, count: number): Attack {
  const answers = new Map<number, number>();
  const sentAway: number[] = [];
  let isOver = false;
  const sockets = new Set<Socket>();
  afterTest(() => {
    isOver = true;
    for (const socket of sockets) socket.destroy();
  });
  const pull = (tag: number) => {
    if (isOver) return;
    const path = `/v2/team/slow/manifests/t${tag}`;
    const pulling = request(
      { host: '127.0.0.1', port, path, localAddress: ATTACKER, agent: false },
      (response) => {
        const status = response.statusCode ?? 0;
        answers.set(status, (answers.get(status) ?? 0) + 1);
        response.resume().once('close', () => sentAway.push(tag));
      },
    );
    pulling.once('socket', (socket) => sockets.add(socket)).on('error', () => {});
    pulling.end();
  };
  for (let tag = 0; tag < count; tag += 1) pull(tag);
  return { answers, askAgain: () => sentAway.splice(0, 100).forEach(pull) };
}

test('a thousand slow documents of one client leave memory for the large documents of another', async () => {
  const mirror = await mirrorOfSlow();
  const { answers, askAgain } = attack(mirror, 1000);
  // All that there is for this client is taken, and it is being sent away.
  await expect.poll(mirror.begun).toBeGreaterThan(8);
  await expect.poll(() => answers.get(503) ?? 0).toBeGreaterThan(50);
  for (let tag = 1; tag <= 8; tag += 1) {
    const document = index(`v${tag}`, tag * 400_000);
    const digest = mirror.content.putManifest(document, MEDIA_TYPE.ociIndex, `v${tag}`);
    // By rounds, not by the clock: the attack is as hard on a machine that is slow itself.
    if (tag % 3 === 1) askAgain();
    const { status, headers } = await ask(mirror.port, `/v2/team/app/manifests/v${tag}`);
    expect([tag, status, headers['docker-content-digest']]).toEqual([tag, 200, digest]);
  }
  expect(residentMibOf(mirror.metahub.pid)).toBeLessThan(400);
});

test('a large document that arrives too slowly is aborted, and its memory is free for the next one', async () => {
  const mirror = await mirrorOfSlow();
  const { status, headers, body } = await ask(mirror.port, '/v2/team/slow/manifests/latest');
  expect([status, headers['retry-after'], JSON.parse(body.toString()).errors[0].code]).toEqual([
    504,
    undefined,
    'UNAVAILABLE',
  ]);
  expect(body.toString()).toContain('less than 16384 bytes of a large document');
});
