import { readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Digest } from '../../src/oci/digest.ts';
import { startDockerRegistry } from '../support/docker-registry.ts';
import { lacking } from '../support/installed-programs.ts';
import { type Metahub, startMetahub } from '../support/metahub.ts';
import { openSkopeo } from '../support/skopeo.ts';
import type { Workplace } from '../support/workplace.ts';
import { type ChaosLink, startChaosLink } from './chaos-link.ts';
import { type Client, createClient, Ledger } from './client.ts';
import { createLibrary, type Library } from './library.ts';
import { disturb, type Footprint, footprintWhenIdle } from './mirror.ts';
import { createRandom, type Random } from './random.ts';
import { Tally } from './tally.ts';

/** The programs that it starts. */
export const SOAK_NEEDS = ['docker-registry'];

const CLIENTS = 6;
const TITLES = 16;
/** The share of exchanges with the registry that fail. */
const FAULT_RATE = 0.25;
/** Much less than the images' size, in bytes, so that content is evicted all the time. */
const CACHE_BYTES = 16 * 2 ** 20;
/** How much the memory of the last process may grow during its last period of work. */
const MORE_RESIDENT_MIB = 64;
const MORE_HANDLES = 8;

export interface SoakOptions {
  readonly minutes: number;
  readonly seed: number;
  /** Receives progress messages. */
  readonly tell: (line: string) => void;
}

export interface SoakResult {
  /** The summary. */
  readonly lines: readonly string[];
  /** What went wrong; empty when nothing did. */
  readonly failures: readonly string[];
}

interface Scene {
  readonly library: Library;
  readonly link: ChaosLink;
  readonly metahub: Metahub;
  readonly ledger: Ledger;
  readonly random: Random;
  readonly disturbances: Tally;
  /** Events of the mirror's log, by name. */
  readonly events: Tally;
  readonly withSkopeo: ((image: string) => Promise<void>) | undefined;
}

/** Counts the events of a JSON log that arrives in pieces. */
function createEventCounter(events: Tally): (text: string) => void {
  let rest = '';
  return (text) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const event = /"level":"(\w+)","event":"([^"]+)"/.exec(line);
      if (event?.[2] !== undefined) events.add(event[1] === 'error' ? `ERROR ${line}` : event[2]);
    }
  };
}

function openSkopeoPulls(workplace: Workplace, metahub: Metahub) {
  if (lacking(['skopeo']).length > 0) return undefined;
  const skopeo = openSkopeo(workplace, { mirror: metahub.url });
  let pulls = 0;
  return async (image: string) => {
    pulls += 1;
    const target = join(workplace.folder('pulled'), String(pulls));
    try {
      await skopeo.skopeo('copy', '--quiet', `docker://docker.io/${image}`, `dir:${target}`);
    } finally {
      rmSync(target, { recursive: true, force: true });
    }
  };
}

async function setUp(workplace: Workplace, { seed }: SoakOptions): Promise<Scene> {
  const random = createRandom(seed);
  const registry = await startDockerRegistry(workplace);
  const library = await createLibrary(registry, random.fork(), TITLES);
  const link = await startChaosLink(workplace, registry.url, random.fork(), FAULT_RATE);
  const events = new Tally();
  const metahub = await startMetahub(workplace, {
    upstream: link.url,
    host: 'cpu:broadwell',
    args: [
      ...['--cache-size', String(CACHE_BYTES), '--tag-max-age', '500ms', '--drain-timeout', '10s'],
      ...['--log-level', 'debug', '--log-format', 'json'],
    ],
    onOutput: createEventCounter(events),
  });
  const withSkopeo = openSkopeoPulls(workplace, metahub);
  const [ledger, disturbances] = [new Ledger(), new Tally()];
  return { library, link, metahub, ledger, random, disturbances, events, withSkopeo };
}

/** skopeo fails at once where a runtime would retry, so it is run again. */
async function pullWithSkopeo({ withSkopeo, ledger }: Scene, image: string): Promise<void> {
  const giveUpMs = performance.now() + 90_000;
  for (;;) {
    try {
      await withSkopeo?.(image);
      return ledger.pulls.add('pulls by skopeo');
    } catch (error) {
      ledger.retried.add('skopeo');
      if (performance.now() < giveUpMs) continue;
      ledger.lost.push(`skopeo, ${image}: ${(error as Error).message}`);
      return;
    }
  }
}

/** Clients pull any images and tags move until `signal` aborts. Each client finishes its last pull. */
async function work(scene: Scene, signal: AbortSignal): Promise<void> {
  const { library, metahub, ledger, random } = scene;
  const until = async (step: (random: Random) => Promise<unknown>) => {
    const own = random.fork();
    while (!signal.aborted) await step(own);
  };
  // A third of the pulls are of two images, so that popular content stays in the cache.
  const anyTitle = (own: Random) => own.pick(own.chance(0.33) ? library.titles.slice(0, 2) : library.titles);
  const pause = (ms: number) =>
    delay(ms, undefined, { signal }).catch(() => {
      // The end of the run aborts the wait.
    });
  const clients = Array.from({ length: CLIENTS }, () => {
    const client = createClient({ mirror: metahub.url, ledger, random: random.fork() });
    return until((own) => client.pull(anyTitle(own))).finally(client.close);
  });
  const skopeo = until(async (own) => {
    await pause(own.whole(2000, 8000));
    if (scene.withSkopeo && !signal.aborted) await pullWithSkopeo(scene, anyTitle(own).repository);
  });
  const mover = until(async (own) => {
    await pause(own.whole(2000, 6000));
    if (!signal.aborted) await library.move(own.pick(library.titles));
  });
  await Promise.all([...clients, skopeo, mover]);
}

/** Works for a while with faults between mirror and registry, and disturbs the mirror. */
async function spell(
  scene: Scene,
  seconds: number,
  kinds: readonly ('SIGKILL' | 'SIGTERM' | 'SIGHUP')[],
): Promise<void> {
  const { link, metahub, random, disturbances } = scene;
  link.mood = 'faulty';
  const signal = AbortSignal.timeout(Math.round(seconds * 1000));
  await Promise.all([work(scene, signal), disturb(metahub, kinds, random.fork(), signal, disturbances)]);
  link.mood = 'honest';
}

/** The time after which a tag that was served stale is looked up again, in milliseconds, with some margin. */
const FRESH_WITHIN_MS = 15_000;

/** Pulls every tag without faults. Resolves with those that do not give the tag's current content. */
async function checkTags({ library }: Scene, client: Client): Promise<readonly string[]> {
  const wrong: string[] = [];
  const giveUpMs = performance.now() + FRESH_WITHIN_MS;
  for (const title of library.titles) {
    for (;;) {
      const digest = await client.pull(title);
      if (digest !== undefined && title.versions.at(-1)?.has(digest)) break;
      if (performance.now() < giveUpMs) await delay(500);
      else {
        wrong.push(`${title.repository} leads to ${digest}, which is not its last version`);
        break;
      }
    }
  }
  return wrong;
}

/** Without a registry, requests every tag and blob in the cache. Resolves with those that were not served. */
async function checkHeld({ library, link, metahub }: Scene, client: Client): Promise<readonly string[]> {
  const lost: string[] = [];
  link.mood = 'dark';
  const [first] = library.titles;
  const names = readdirSync(join(metahub.data, 'v1', 'blobs', 'sha256'));
  const held = names
    .map((name): Digest => `sha256:${name}` as Digest)
    .filter((name) => library.blobs.has(name));
  const noteLost = (error: unknown) => lost.push(`held, and not served: ${(error as Error).message}`);
  for (const title of library.titles) await client.tagHeld(title).catch(noteLost);
  for (const digest of held) if (first) await client.blobHeld(first, digest).catch(noteLost);
  if (held.length === 0) lost.push('nothing was held');
  return lost;
}

function heldBytes({ data }: Metahub): number {
  const folder = join(data, 'v1', 'blobs', 'sha256');
  return readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
}

const mib = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`;
const inWords = ({ residentMib, handles }: Footprint) => `${residentMib} MiB and ${handles} file handles`;

/** Pulls with faults on all sides for some minutes. Resolves with the result. */
export async function soak(workplace: Workplace, options: SoakOptions): Promise<SoakResult> {
  const { minutes, seed, tell } = options;
  const scene = await setUp(workplace, options);
  const { library, link, metahub, ledger, disturbances, events } = scene;
  const seconds = minutes * 60;
  const client = createClient({ mirror: metahub.url, ledger, random: scene.random.fork() });

  tell(
    `soak: seed ${seed}, ${library.titles.length} tags, ${mib(library.sizeBytes)}; killing and reloading …`,
  );
  await spell(scene, seconds * 0.6, ['SIGKILL', 'SIGKILL', 'SIGTERM', 'SIGHUP']);
  const exit = await metahub.restart();
  tell('soak: the last process warms up …');
  await spell(scene, seconds * 0.15, ['SIGHUP']);
  const before = await footprintWhenIdle(metahub.pid);
  tell(`soak: idle at ${inWords(before)}; the last spell of work …`);
  await spell(scene, seconds * 0.25, ['SIGHUP']);
  const misled = await checkTags(scene, client);
  const after = await footprintWhenIdle(metahub.pid);
  const unserved = await checkHeld(scene, client);
  client.close();
  const held = heldBytes(metahub);

  const errors = `${events}`.match(/ERROR .*/g) ?? [];
  const lines = [
    `soak: ${minutes} minutes, seed ${seed}`,
    `pulls: ${ledger.pulls}; lost: ${ledger.lost.length}`,
    `answers whole and with their digest: ${ledger.right.total} (${ledger.right}), ${mib(ledger.rightBytes)}; wrong: ${ledger.wrong.length}`,
    `asked for again: ${ledger.retried}`,
    `put together from parts and found wrong by the client, then pulled again: ${ledger.wrongTogether}`,
    `faults on the way to the registry: ${link.faults.total} (${link.faults})`,
    `done to the mirror: ${disturbances}`,
    `it served stale ${events.of('served-stale')} times, resumed ${events.of('blob-resumed')} blobs, evicted ${events.of('evicted')} times`,
    `content: ${mib(library.sizeBytes)} pulled from, ${mib(held)} held of ${mib(CACHE_BYTES)} allowed`,
    `with the registry gone, held and not served: ${unserved.length}`,
    `idle before the last spell: ${inWords(before)}; after it: ${inWords(after)}`,
  ];
  const failures = [
    ...ledger.wrong,
    ...ledger.lost.map((what) => `lost: ${what}`),
    ...misled,
    ...unserved,
    ...errors,
    ...(ledger.pulls.total === 0 ? ['nothing was pulled'] : []),
    ...(exit === 0 ? [] : [`SIGTERM: exit status ${exit}`]),
    ...(disturbances.of('SIGTERM without exit status 0') > 0 ? ['SIGTERM without exit status 0'] : []),
    ...(after.handles > before.handles + MORE_HANDLES ? ['file handles did not come back'] : []),
    ...(after.residentMib > before.residentMib + MORE_RESIDENT_MIB ? ['memory did not come back'] : []),
  ];
  return { lines, failures };
}
