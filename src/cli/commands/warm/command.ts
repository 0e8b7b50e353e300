import type { Command } from 'commander';
import type { HostPlatform } from '../../../host/profile.ts';
import { whyUnreadable } from '../../../lib/config-error.ts';
import type { Log } from '../../../lib/log.ts';
import { readTextFile } from '../../../lib/regular-file.ts';
import { sizeText } from '../../../lib/text.ts';
import type { Digest } from '../../../oci/digest.ts';
import { formatReference, type ImageReference } from '../../../oci/reference.ts';
import { createMetrics } from '../../../server/metrics.ts';
import { becomeOwnerOf } from '../../become-owner.ts';
import { helpText } from '../../help-text.ts';
import { hostProfile, namedHost } from '../../host-profile.ts';
import { lookupFailure, parseImage, warningLog } from '../../image-lookup.ts';
import type { JsonDocument } from '../../json-documents.ts';
import { JsonOption } from '../../json-option.ts';
import { newPseudonym, storedLogins } from '../../open-upstream.ts';
import { columnsOf, documentText } from '../../output.ts';
import type { MirrorStack } from '../../serve/compose.ts';
import { addSettings, loadServiceSettings } from '../../settings/load.ts';
import { LOOKUP_SETTINGS, SERVE_SETTINGS } from '../../settings/table.ts';
import { readStdin } from '../../stdin.ts';
import { UserError } from '../../user-error.ts';

/**
 * The settings of `serve` that determine images, host and store. The others come from the file and the
 * environment.
 */
const WARM_SETTINGS = {
  ...LOOKUP_SETTINGS,
  data: SERVE_SETTINGS.data,
  profile: SERVE_SETTINGS.profile,
  set: SERVE_SETTINGS.set,
} as const;

interface WarmFlags {
  readonly fromFile?: string;
  readonly json?: boolean;
}

/** The result for one image, as it is printed. */
type Warmed = JsonDocument<'warm'>['images'][number];

const EXAMPLES = helpText(
  [
    ['metahub warm alpine ghcr.io/a/b:v1', 'fetch what this host would pull'],
    [
      'metahub warm --from-file images.txt',
      'read one image from each line; # begins a comment; the file - is stdin',
    ],
    ['sudo metahub warm qnib/bench', 'fetch into the store of the installed service'],
  ],
  'warm can run while a mirror uses the same data directory. Exit status: 0 all images are stored, 1 none is, 2 a wrong option, 3 some are.',
);

/** Adds the options and the action of `metahub warm`. */
export function configure(command: Command): void {
  command.argument('[images...]', 'an image name as in docker pull: alpine, ghcr.io/a/b:v1');
  addSettings(command, WARM_SETTINGS);
  command
    .option('--from-file <file>', 'read more image names from this file')
    .addOption(new JsonOption('warm'))
    .addHelpText('after', EXAMPLES)
    .action(warm);
}

/** Limit of the names on stdin, in bytes: that of a file. */
const NAMES_MAX_BYTES = 16 * 1024 * 1024;

/** Reads the text of a file, or of stdin. */
async function readNamesFile(path: string): Promise<string> {
  if (path === '-') {
    const text = await readStdin(NAMES_MAX_BYTES);
    if (text !== undefined) return text;
    throw new UserError(`stdin has more than ${NAMES_MAX_BYTES} bytes`, {
      nextStep: 'Pass fewer image names at a time.',
    });
  }
  return readTextFile(path).catch((cause: unknown) => {
    throw new UserError(`--from-file ${path}: ${whyUnreadable(cause)}`, {
      cause,
      nextStep: 'Name a file with one image name a line, or - for stdin.',
    });
  });
}

/** Reads a file of names, one on each line. */
async function readNames(path: string): Promise<readonly string[]> {
  const text = await readNamesFile(path);
  return text
    .split(/\r?\n/)
    .map((line) => line.replace(/#.*$/, '').trim())
    .filter((line) => line !== '');
}

async function warm(
  named: readonly string[],
  flags: WarmFlags & Readonly<Record<string, unknown>>,
): Promise<void> {
  const names = [...named, ...(flags.fromFile === undefined ? [] : await readNames(flags.fromFile))];
  if (names.length === 0) {
    throw new UserError('warm needs image names', {
      nextStep: 'Name some (metahub warm alpine), or a file of names (--from-file images.txt).',
      exitStatus: 2,
    });
  }
  const images = new Map(names.map(parseImage).map((image) => [nameOf(image), image]));
  const settings = await loadServiceSettings(SERVE_SETTINGS, { ...flags });
  if (settings.values.cache === 'off') {
    throw new UserError('the cache is off, so nothing would be stored', {
      nextStep: 'Set --cache on or transit.',
    });
  }
  const { buildMirrorStack } = await import('../../serve/compose.ts');
  const problems: string[] = [];
  const text = warningLog();
  const log: Log = (level, event, message, fields) => {
    if (event === 'cache-unwritable') problems.push(String(fields?.['reason']));
    else text(level, event, message, fields);
  };
  // What only root may read is read before root becomes the owner of the data.
  const profile = await hostProfile(namedHost(settings));
  const credentials = storedLogins(log);
  await credentials.readFinally();
  const stack = await buildMirrorStack(settings, {
    ...{ log, credentials, enterData: becomeOwnerOf },
    pseudonym: newPseudonym(),
    metrics: createMetrics(),
    decided: () => {},
  });
  const stop = new AbortController();
  const interrupt = () => stop.abort();
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  const fetched: Fetched[] = [];
  try {
    const registry = stack.registryFor(profile);
    for (const [name, image] of images) {
      const one = await fetchOne(registry, name, image, { host: profile.platform, signal: stop.signal });
      fetched.push(one);
      if (!flags.json) process.stdout.write(lineOf(one.result));
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    throw new UserError('interrupted: the images that are printed are stored');
  } finally {
    // Removes what is half-fetched, and stores what is fetched.
    await stack.close();
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  }
  if (problems.length > 0)
    throw new UserError(`${settings.values.data} cannot be written to: ${problems[0]}`);
  const warmed = await Promise.all(fetched.map((one) => confirm(one, stack)));
  if (flags.json) process.stdout.write(documentText<'warm'>({ images: warmed }));
  else {
    const dropped = warmed.filter(({ error }, at) => error !== fetched[at]?.result.error);
    for (const one of dropped) process.stdout.write(lineOf(one));
  }
  const stored = warmed.filter(({ error }) => error === null);
  if (stored.length < warmed.length) process.exitCode = stored.length === 0 ? 1 : 3;
}

const nameOf = ({ repository, reference }: ImageReference) => formatReference(repository, reference);

/** An image whose blobs have come, if there was no error. */
interface Fetched {
  readonly result: Warmed;
  readonly digests: readonly Digest[];
}

async function fetchOne(
  registry: ReturnType<MirrorStack['registryFor']>,
  name: string,
  { repository, reference }: ImageReference,
  from: { readonly host: HostPlatform; readonly signal: AbortSignal },
): Promise<Fetched> {
  const { fetchBlobs, planWarm } = await import('./image.ts');
  const progress = createProgressLine(process.stderr, name);
  try {
    const { blobs, sizeBytes } = await planWarm(registry, repository, reference, from);
    progress.begin(sizeBytes);
    await fetchBlobs(registry, repository, blobs, { onBytes: progress.add, signal: from.signal });
    const result = { image: name, blobs: blobs.length, sizeBytes, error: null };
    return { result, digests: blobs.map(({ digest }) => digest) };
  } catch (cause) {
    from.signal.throwIfAborted();
    const failure = lookupFailure(cause, name);
    if (!(failure instanceof Error)) throw failure;
    return { result: { image: name, blobs: 0, sizeBytes: 0, error: failure.message }, digests: [] };
  } finally {
    progress.done();
  }
}

/** Adds the error to an image whose blobs the cache had no room for, or has evicted for those of another image. */
async function confirm({ result, digests }: Fetched, stack: MirrorStack): Promise<Warmed> {
  const isStored = await Promise.all(digests.map((digest) => stack.isStored(digest)));
  const missing = isStored.filter((is) => !is).length;
  if (missing === 0) return result;
  const count = `${missing} of its ${digests.length} blobs`;
  const error = `${result.image}: the cache has no room for ${count} (settings cacheSize, cacheMinFree)`;
  return { ...result, error };
}

function lineOf({ image, blobs, sizeBytes, error }: Warmed): string {
  return error === null ? `${image}: ${blobs} blobs, ${sizeText(sizeBytes)}\n` : `failed: ${error}\n`;
}

/** A line that shows the progress of a download, on a terminal only. */
export interface ProgressLine {
  begin(totalBytes: number): void;
  readonly add: (count: number) => void;
  /** Removes the line. */
  done(): void;
}

const BAR_WIDTH = 20;
const EVERY_MS = 100;

/** Formats the progress: `[#####---------------] 25 %  40.0 MiB of 160 MiB  docker.io/library/alpine:latest`. */
export function progressText(name: string, doneBytes: number, totalBytes: number, width: number): string {
  const share = totalBytes === 0 ? 1 : Math.min(1, doneBytes / totalBytes);
  const filled = Math.floor(share * BAR_WIDTH);
  const bar = `${'#'.repeat(filled)}${'-'.repeat(BAR_WIDTH - filled)}`;
  const percent = `${Math.floor(share * 100)}`.padStart(3);
  return `[${bar}] ${percent} %  ${sizeText(doneBytes)} of ${sizeText(totalBytes)}  ${name}`.slice(0, width);
}

function createProgressLine(stream: NodeJS.WriteStream, name: string): ProgressLine {
  if (!stream.isTTY) return { begin: () => {}, add: () => {}, done: () => {} };
  let totalBytes = 0;
  let doneBytes = 0;
  let drawnMs = Number.NEGATIVE_INFINITY;
  const draw = () => {
    drawnMs = performance.now();
    stream.write(`\r\x1b[2K${progressText(name, doneBytes, totalBytes, columnsOf(stream) - 1)}`);
  };
  return {
    begin: (bytes) => {
      totalBytes = bytes;
      draw();
    },
    add: (count) => {
      doneBytes += count;
      if (performance.now() - drawnMs >= EVERY_MS) draw();
    },
    done: () => void stream.write('\r\x1b[2K'),
  };
}
