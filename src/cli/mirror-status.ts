import * as v from 'valibot';
import { PULL_VERDICTS } from '../server/status-facts.ts';
import { UserError } from './user-error.ts';

const Time = v.pipe(v.string(), v.isoTimestamp());
const Count = v.pipe(v.number(), v.integer(), v.minValue(0));

/** The part of `/status.json` that programs may rely on. */
export const MIRROR_STATUS = v.object({
  version: v.pipe(v.string(), v.description('the version of the mirror')),
  startedAt: Time,
  hostName: v.optional(v.string()),
  sitePath: v.optional(
    v.pipe(v.string(), v.description('the path of the site’s pages; absent where this mirror is no site’s')),
  ),
  notReady: v.optional(v.pipe(v.string(), v.description('why the mirror is not ready; absent: it is ready'))),
  warnings: v.optional(v.array(v.string()), []),
  profile: v.optional(
    v.pipe(
      v.looseObject({
        platform: v.looseObject({
          os: v.string(),
          architecture: v.string(),
          variant: v.optional(v.string()),
        }),
        cpu: v.looseObject({ microarchitecture: v.string(), vendor: v.string() }),
        gpus: v.array(v.looseObject({ vendor: v.string(), name: v.optional(v.nullable(v.string())) })),
        features: v.array(v.string()),
        warnings: v.array(v.string()),
      }),
      v.description(
        'what the host is, as profile.schema.json describes it; absent where each login brings a machine type',
      ),
    ),
  ),
  decisions: v.pipe(
    v.array(
      v.object({
        at: Time,
        image: v.string(),
        verdict: v.pipe(
          v.picklist(PULL_VERDICTS),
          v.description(
            'fitted: the entry demands hardware that this host has; generic: the entry demands none, but others do; ' +
              'unchanged: no entry demands any; refused: no entry runs on this host; failed: the registry did not answer',
          ),
        ),
        digest: v.pipe(v.string(), v.description('of the answer; empty: MetaHub sent none')),
        entry: v.optional(v.pipe(v.string(), v.description('what the chosen entry demands'))),
        reason: v.string(),
        notes: v.optional(v.array(v.string()), []),
      }),
    ),
    v.description('answers to tags, latest first; none where each login brings a machine type'),
  ),
  pulls: v.optional(
    v.pipe(
      v.object({ fitted: Count, generic: Count, unchanged: Count, refused: Count, failed: Count }),
      v.description('answers to tags since the start'),
    ),
  ),
  cache: v.optional(
    v.object({
      usedBytes: Count,
      limitBytes: Count,
      trouble: v.optional(v.pipe(v.string(), v.description('why the cache stores nothing new now'))),
      results: v.pipe(
        v.record(v.string(), Count),
        v.description('requests: hit, coalesced, miss, bypass, stale'),
      ),
    }),
  ),
  registries: v.optional(
    v.array(
      v.object({
        registry: v.string(),
        requests: Count,
        failures: Count,
        failing: v.optional(
          v.pipe(v.string(), v.description('the latest failure, if no request has succeeded since')),
        ),
        meanMs: v.number(),
      }),
    ),
  ),
  reload: v.optional(
    v.object({
      at: Time,
      refused: v.optional(
        v.pipe(v.string(), v.description('why MetaHub refused the reload; absent: it succeeded')),
      ),
    }),
  ),
  connectionTests: v.optional(v.array(v.string()), []),
  figures: v.array(v.tuple([v.string(), v.string()])),
  runtimes: v.pipe(
    v.array(v.object({ runtime: v.string(), lastSuccess: Time })),
    v.description('kinds of clients that got a manifest or a blob since the start'),
  ),
});

export type MirrorStatus = v.InferOutput<typeof MIRROR_STATUS>;

const ANSWER_MS = 5000;
/** Maximum size of a status document, in bytes: ten times that of the last 200 answers with their reasons. */
const ANSWER_MAX_BYTES = 4 * 1024 * 1024;

/** Returns why a request failed, in the words of the system. */
export function reasonOf(error: unknown): string {
  const { cause, message } = error as Error;
  if (!(cause instanceof Error)) return message;
  return cause.message || ((cause as NodeJS.ErrnoException).code ?? message);
}

async function boundedText(response: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const part of response.body ?? []) {
    sizeBytes += part.length;
    if (sizeBytes > ANSWER_MAX_BYTES) throw new Error(`it answers more than ${ANSWER_MAX_BYTES} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString();
}

/**
 * Fetches a document of the mirror at `url`.
 * @throws {UserError} when nothing answers there, or something that is not MetaHub
 */
export async function fetchDocument<Schema extends v.GenericSchema>(
  url: string,
  path: string,
  schema: Schema,
  signal?: AbortSignal,
): Promise<v.InferOutput<Schema>> {
  const timeout = AbortSignal.timeout(ANSWER_MS);
  let answer: { readonly status: number; readonly text: string };
  try {
    const response = await fetch(`${url}${path}`, {
      signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
    });
    answer = { status: response.status, text: await boundedText(response) };
  } catch (cause) {
    throw new UserError(`no mirror answers at ${url}: ${reasonOf(cause)}`, {
      cause,
      nextStep: 'Start it: systemctl start metahub, or metahub serve. --mirror URL names another.',
    });
  }
  if (answer.status === 200) {
    const { success, output } = v.safeParse(schema, parseJson(answer.text));
    if (success) return output;
  }
  if (answer.status === 401) {
    throw new UserError(`${url} is a site, which shows ${path} only to accounts`, {
      nextStep: `Name the site and an account: --site ${url} --user ACCOUNT.`,
    });
  }
  throw new UserError(`what answers at ${url} is not a MetaHub that shows ${path} (HTTP ${answer.status})`, {
    nextStep: 'Name the mirror with --mirror URL, by an address or a name that it knows (--name).',
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Fetches the status of the mirror at `url`. @throws {UserError} */
export function fetchStatus(url: string, signal?: AbortSignal): Promise<MirrorStatus> {
  return fetchDocument(url, '/status.json', MIRROR_STATUS, signal);
}
