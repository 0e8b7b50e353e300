import { setMaxListeners } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { Agent, createServer, request as httpRequest, type OutgoingHttpHeaders } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { hashPassword } from '../../src/site/password.ts';
import { basicAuthorization as basic } from '../../src/upstream/auth/credentials.ts';
import { startDockerRegistry } from '../support/docker-registry.ts';
import { listenOnLoopback } from '../support/loopback.ts';
import { type Metahub, startMetahub } from '../support/metahub.ts';
import type { Workplace } from '../support/workplace.ts';
import { createClient, Ledger } from './client.ts';
import { HOSTILE_INDEXES, SLOW_MANIFEST, SLOW_TAGS } from './hostile-documents.ts';
import { createLibrary } from './library.ts';
import { residentMibOf } from './mirror.ts';
import { createRandom } from './random.ts';
import type { SoakOptions, SoakResult } from './soak.ts';
import { Tally } from './tally.ts';

/** The mirror's memory limit, the `MemoryHigh` of its unit, and below it the limit for a turn of its event loop. */
const RESIDENT_MAX_MIB = 768;
const TURN_MAX_MS = 250;
const CLIENTS = 4;
const TITLES = 8;
/** The attackers' own address, like that of clients on a network. */
const ATTACKERS = '127.0.0.66';
/** The interval of first logins, and below it their time limit: hashes are computed one after another. */
const NEWCOMER_EVERY_MS = 5000;
const NEWCOMER_MAX_MS = 60_000;
const LAST_BYTE_MS = 20_000;
const PROBE = fileURLToPath(new URL('../support/loop-probe.mjs', import.meta.url));

/**
 * A gateway in front of the registry that refuses requests that resemble an attack, as web application firewalls
 * do.
 */
async function startGateway(workplace: Workplace, target: string): Promise<string> {
  const agent = new Agent({ keepAlive: true });
  const server = createServer(({ method, url, headers }, response) => {
    if (/<script/i.test(JSON.stringify(headers))) return void response.writeHead(403).end('blocked');
    const onward = httpRequest(`${target}${url}`, { method, headers, agent }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy()).end();
  });
  workplace.onClose(() => {
    agent.destroy();
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${await listenOnLoopback(server)}`;
}

/** A registry that sends large documents, some of them hostile and some without an end. */
async function startHostileRegistry(workplace: Workplace): Promise<string> {
  let sent = 0;
  const server = createServer((request, response) => {
    response.on('error', () => {});
    const isSlow = request.url?.includes('/slow/') === true;
    const isList = request.url?.includes('/tags/') === true;
    sent += 1;
    const hostile = HOSTILE_INDEXES[sent % HOSTILE_INDEXES.length] ?? SLOW_MANIFEST;
    const bytes = isSlow ? (isList ? SLOW_TAGS : SLOW_MANIFEST) : hostile;
    const type = isList ? 'application/json' : MEDIA_TYPE.ociIndex;
    response.writeHead(200, { 'content-type': type, 'content-length': bytes.length });
    if (request.method === 'HEAD') return void response.end();
    if (!isSlow) return void response.end(bytes);
    response.write(bytes.subarray(0, -1));
    setTimeout(() => response.end(bytes.subarray(-1)), LAST_BYTE_MS).unref();
  });
  workplace.onClose(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${await listenOnLoopback(server)}`;
}

/** Writes accounts with their own passwords, hashed at the usual cost. Resolves with their names. */
async function writeAccounts(folder: string, newcomers: number): Promise<readonly string[]> {
  const names = Array.from({ length: newcomers }, (_, at) => `new${at}`);
  for (const name of ['good', 'mallory', ...names]) {
    const { text } = await hashPassword(name);
    writeFileSync(join(folder, `${name}.yaml`), `user: ${name}\npassword: "${text}"\n`);
  }
  return names;
}

interface Asked {
  readonly status: number;
  readonly ms: number;
}

function asker({ url }: Metahub) {
  return (path: string, headers: OutgoingHttpHeaders, localAddress?: string): Promise<Asked> => {
    const startedMs = performance.now();
    return new Promise((resolve) => {
      const end = (status: number) => resolve({ status, ms: performance.now() - startedMs });
      const asking = httpRequest(`${url}${path}`, { headers, localAddress, agent: false }, (answer) => {
        answer.resume().once('close', () => end(answer.statusCode ?? 0));
      });
      asking.setTimeout(60_000, () => asking.destroy()).once('error', () => end(0));
      asking.end();
    });
  };
}

/** Pulls during four attacks of one client with a valid login, and returns the result. */
export async function attackSoak(workplace: Workplace, options: SoakOptions): Promise<SoakResult> {
  const { minutes, seed, tell } = options;
  const random = createRandom(seed);
  const registry = await startDockerRegistry(workplace);
  const library = await createLibrary(registry, random.fork(), TITLES);
  const machines = workplace.folder('machines');
  const newcomers = await writeAccounts(machines, Math.ceil((minutes * 60_000) / NEWCOMER_EVERY_MS));
  const probe = join(workplace.directory, 'loop.json');
  const hostile = await startHostileRegistry(workplace);
  const metahub = await startMetahub(workplace, {
    upstream: await startGateway(workplace, registry.url),
    args: ['--upstream', `evil.test=${hostile}`, '--machines', machines, '--log-level', 'notice'],
    env: { NODE_OPTIONS: `--import ${PROBE}`, METAHUB_LOOP_PROBE: probe },
  });
  const ledger = new Ledger();
  const [attacks, failures] = [new Tally(), [] as string[]];
  const ask = asker(metahub);
  const mallory = { authorization: basic('mallory', 'mallory') };
  const signal = AbortSignal.timeout(Math.round(minutes * 60_000));
  setMaxListeners(0, signal);
  let turn = 0;
  const during = async (count: number, pauseMs: number, step: () => Promise<unknown>) => {
    const loops = Array.from({ length: count }, async () => {
      while (!signal.aborted) {
        await step();
        await delay(pauseMs, undefined, { signal }).catch(() => {
          // The end of the run aborts the wait.
        });
      }
    });
    await Promise.all(loops);
  };
  const attack = (
    name: string,
    count: number,
    pauseMs: number,
    pathOf: (turn: number) => string,
    more = {},
  ) =>
    during(count, pauseMs, async () => {
      turn += 1;
      const headers = typeof more === 'function' ? more(turn) : more;
      const { status } = await ask(pathOf(turn), { ...mallory, ...headers }, ATTACKERS);
      attacks.add(`${name} ${status}`);
    });

  tell(`soak: seed ${seed}, ${library.titles.length} tags, four attacks for ${minutes} minutes …`);
  const [popular] = library.titles;
  const startedMs = performance.now();
  /** The maximum of each half of the run: a leak makes the second larger. */
  const residentMib = [0, 0];
  let [held, slowestLoginMs] = [[] as number[], 0];
  const good = { authorization: basic('good', 'good') };
  const clients = Array.from({ length: CLIENTS }, () => {
    const client = createClient({ mirror: metahub.url, ledger, random: random.fork(), headers: good });
    const own = random.fork();
    return during(1, 20, () => client.pull(own.pick(library.titles))).finally(client.close);
  });
  await Promise.all([
    ...clients,
    attack('1 hostile index', 3, 50, (at) => `/v2/evil.test/flood/x/manifests/t${at}`),
    attack('2 slow manifest', 300, 100, (at) => `/v2/evil.test/slow/x/manifests/t${at}`),
    attack('2 slow list', 30, 100, (at) => `/v2/evil.test/slow/x${at}/tags/list`),
    attack('8 Via', 2, 50, () => `/v2/${popular?.repository}/manifests/${popular?.tag}`, {
      via: '1.1 x (<script>)',
    }),
    attack(
      '9 selector',
      8,
      50,
      () => '/v2/',
      (at: number) => ({
        authorization: basic(`mallory/cpu#zen4,site#n${at}`, 'mallory'),
      }),
    ),
    during(1, NEWCOMER_EVERY_MS, async () => {
      const name = newcomers[ledger.pulls.of('first logins')] ?? 'good';
      const { status, ms } = await ask('/v2/', { authorization: basic(name, name) });
      ledger.pulls.add('first logins');
      slowestLoginMs = Math.max(slowestLoginMs, ms);
      if (status !== 200) failures.push(`the first login of ${name} was answered with ${status}`);
    }),
    during(1, 50, async () => {
      const { status, ms } = await ask(`/v2/${popular?.repository}/manifests/${popular?.tag}`, good);
      if (status === 200) held.push(ms);
      const half = performance.now() - startedMs < minutes * 30_000 ? 0 : 1;
      residentMib[half] = Math.max(residentMib[half] ?? 0, residentMibOf(metahub.pid));
    }),
  ]);
  // The probe writes once per second.
  await delay(1100);
  const longest = JSON.parse(readFileSync(probe, 'utf8')) as { cpu: number; clock: number };
  held = held.sort((a, b) => a - b);
  const heldAt = (share: number) => Math.round(held[Math.floor((held.length - 1) * share)] ?? 0);
  const lines = [
    `soak: ${minutes} minutes of attacks, seed ${seed}`,
    `pulls: ${ledger.pulls}; lost: ${ledger.lost.length}`,
    `answers whole and with their digest: ${ledger.right.total} (${ledger.right}); wrong: ${ledger.wrong.length}`,
    `asked for again: ${ledger.retried}`,
    `attacks, by status: ${attacks}`,
    `a held tag, asked for every 50 ms: median ${heldAt(0.5)} ms, 99 % ${heldAt(0.99)} ms, longest ${heldAt(1)} ms`,
    `slowest first login: ${Math.round(slowestLoginMs)} ms`,
    `longest turn of the event loop: ${Math.round(longest.cpu)} ms of CPU time, ${Math.round(longest.clock)} ms by the clock`,
    `most memory: ${residentMib[0]} MiB in the first half, ${residentMib[1]} MiB in the second`,
  ];
  failures.push(
    ...ledger.wrong,
    ...ledger.lost.map((what) => `lost: ${what}`),
    ...(ledger.pulls.of('pulls by HTTP') === 0 ? ['nothing was pulled'] : []),
    ...(ledger.right.of('of these stale') > 0 ? ['a tag was served stale'] : []),
    ...(slowestLoginMs > NEWCOMER_MAX_MS ? ['a first login took too long'] : []),
    ...(longest.cpu > TURN_MAX_MS ? ['the event loop was blocked'] : []),
    ...(Math.max(...residentMib) > RESIDENT_MAX_MIB ? ['memory was not bounded'] : []),
  );
  return { lines, failures };
}
