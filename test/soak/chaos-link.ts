import {
  Agent,
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import { buffer } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { listenOnLoopback } from '../support/loopback.ts';
import type { Workplace } from '../support/workplace.ts';
import type { Random } from './random.ts';
import { Tally } from './tally.ts';

/** The faults of an exchange with the registry, and their relative frequency. */
const FAULTS = {
  reset: 4,
  delayed: 6,
  'status 500': 3,
  'status 503': 3,
  'status 429': 1,
  'cut off': 6,
  'ended early': 6,
  corrupted: 6,
  dripping: 2,
  stalled: 1,
  'a login page': 2,
} as const;
type Fault = keyof typeof FAULTS;
const NAMES = Object.entries(FAULTS).flatMap(([name, weight]) => Array<Fault>(weight).fill(name as Fault));

/** `honest`: forwards everything. `faulty`: a part of the exchanges fails. `dark`: the registry is unreachable. */
type Mood = 'honest' | 'faulty' | 'dark';

export interface ChaosLink {
  readonly url: string;
  mood: Mood;
  readonly faults: Tally;
}

/** Longer than any idle timeout of the mirror, in milliseconds. */
const STALL_MS = 20_000;

/** Sends the head of a response and half of its body. */
async function sendHalf(answer: IncomingMessage, response: ServerResponse): Promise<Buffer> {
  const body = await buffer(answer);
  response.writeHead(answer.statusCode ?? 502, answer.headers);
  await new Promise<void>((resolve) => response.write(body.subarray(0, body.length >> 1), () => resolve()));
  return body;
}

async function spoil(answer: IncomingMessage, response: ServerResponse, fault: Fault, random: Random) {
  if (fault === 'corrupted') {
    const body = await buffer(answer);
    const at = random.whole(0, Math.max(0, body.length - 1));
    body[at] = (body[at] ?? 0) ^ (1 << random.whole(0, 7));
    response.writeHead(answer.statusCode ?? 502, answer.headers).end(body);
    return;
  }
  const body = await sendHalf(answer, response);
  switch (fault) {
    case 'cut off':
      response.socket?.resetAndDestroy();
      return;
    case 'dripping':
      for (let at = body.length >> 1; at < body.length && !response.destroyed; ) {
        const size = Math.max(1, body.length >> 5);
        response.write(body.subarray(at, at + size));
        at += size;
        await delay(50);
      }
      response.end();
      return;
    case 'stalled':
      await delay(STALL_MS, undefined, { ref: false });
      response.destroy();
      return;
    default:
      response.socket?.end();
  }
}

/** The faults that need no response of the registry. */
async function refuse(response: ServerResponse, fault: Fault): Promise<boolean> {
  if (fault === 'reset') response.socket?.resetAndDestroy();
  else if (fault === 'a login page') {
    response.writeHead(200, { 'content-type': 'text/html' }).end('<!DOCTYPE html><title>Welcome</title>');
  } else if (fault.startsWith('status')) {
    const status = Number(fault.slice(-3));
    response.writeHead(status, status === 429 ? { 'retry-after': '1' } : {}).end('not now');
  } else return false;
  return true;
}

/** A proxy between the mirror and its registry, on loopback, that spoils a part of the exchanges as networks do. */
export async function startChaosLink(
  workplace: Workplace,
  target: string,
  random: Random,
  faultRate: number,
): Promise<ChaosLink> {
  const faults = new Tally();
  const link = { url: '', mood: 'honest' as Mood, faults };
  const agent = new Agent({ keepAlive: true });

  const ask = ({ method, url, headers }: IncomingMessage) =>
    new Promise<IncomingMessage>((resolve, reject) => {
      const onward = httpRequest(`${target}${url}`, { method, headers, agent });
      onward.once('response', resolve).once('error', reject).end();
    });

  async function relay(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (link.mood === 'dark') return void response.socket?.resetAndDestroy();
    const fault = link.mood === 'faulty' && random.chance(faultRate) ? random.pick(NAMES) : undefined;
    if (fault !== undefined) {
      faults.add(fault);
      if (await refuse(response, fault)) return;
      if (fault === 'delayed') await delay(random.whole(50, 1500));
    }
    const answer = await ask(request);
    const hasBody = request.method === 'GET' && answer.statusCode !== 304;
    if (fault === undefined || fault === 'delayed' || !hasBody) {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
      response.once('close', () => answer.destroy());
    } else await spoil(answer, response, fault, random);
  }

  const server = createServer((request, response) => {
    response.on('error', () => {});
    relay(request, response).catch(() => response.destroy());
  });
  const port = await listenOnLoopback(server);
  workplace.onClose(() => {
    agent.destroy();
    server.closeAllConnections();
    server.close();
  });
  link.url = `http://127.0.0.1:${port}`;
  return link;
}
