import type { Diagnostics } from './host-root.ts';

export interface CloudOptions {
  /** The URL of the metadata services: the link-local address that all clouds use. */
  readonly baseUrl?: string;
  /** Time limit for all requests together, in milliseconds. */
  readonly limitMs?: number;
  readonly problems: Diagnostics;
  readonly signal?: AbortSignal | undefined;
}

interface MetadataQuery {
  readonly path: string;
  readonly method?: 'GET' | 'PUT';
  readonly headers: Readonly<Record<string, string>>;
}

type Ask = (query: MetadataQuery) => Promise<string>;

const ANSWER_LIMIT_BYTES = 4096;

/** Asks the metadata services of AWS, Google and Azure concurrently. The first instance type is the answer. */
export async function queryInstanceType({
  baseUrl = 'http://169.254.169.254',
  limitMs = 1000,
  problems,
  signal,
}: CloudOptions): Promise<string | undefined> {
  // node:http, because these requests must not go through a proxy.
  const { request } = await import('node:http');
  // Not AbortSignal.timeout: Node.js 20 may garbage-collect it behind AbortSignal.any, and then it never fires.
  const limit = new AbortController();
  const giveUp = () => limit.abort();
  const timer = setTimeout(giveUp, limitMs);
  if (signal?.aborted) giveUp();
  signal?.addEventListener('abort', giveUp, { once: true });
  const ask: Ask = ({ path, method = 'GET', headers }) =>
    new Promise((resolve, reject) => {
      const sent = request(new URL(path, baseUrl), { method, headers, signal: limit.signal, agent: false });
      sent.on('error', reject);
      sent.on('response', (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('error', reject);
        response.on('data', (part: string) => {
          text += part;
          if (text.length <= ANSWER_LIMIT_BYTES) return;
          // Not by the error of `destroy` alone: the answer still ends as usual when all of it has arrived.
          reject(new Error('the answer is too long'));
          sent.destroy();
        });
        response.on('end', () =>
          response.statusCode === 200
            ? resolve(text.trim())
            : reject(new Error(`status ${response.statusCode}`)),
        );
      });
      sent.end();
    });
  try {
    return await Promise.any([askAmazon(ask), askGoogle(ask), askAzure(ask)]);
  } catch {
    // Whether they refused or did not answer makes no difference.
    problems.fail(`no cloud metadata service named an instance type within ${limitMs / 1000} s`);
    return undefined;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', giveUp);
  }
}

/** @see https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html (IMDSv2) */
async function askAmazon(ask: Ask): Promise<string> {
  const token = await ask({
    path: '/latest/api/token',
    method: 'PUT',
    headers: { 'X-aws-ec2-metadata-token-ttl-seconds': '60' },
  });
  const headers = { 'X-aws-ec2-metadata-token': token };
  return plausible(await ask({ path: '/latest/meta-data/instance-type', headers }));
}

/**
 * The answer is `projects/123/machineTypes/n2-standard-8`. @see
 * https://cloud.google.com/compute/docs/metadata/querying-metadata
 */
async function askGoogle(ask: Ask): Promise<string> {
  const path = '/computeMetadata/v1/instance/machine-type';
  const answer = await ask({ path, headers: { 'Metadata-Flavor': 'Google' } });
  return plausible(answer.slice(answer.lastIndexOf('/') + 1));
}

/** @see https://learn.microsoft.com/azure/virtual-machines/instance-metadata-service */
async function askAzure(ask: Ask): Promise<string> {
  const path = '/metadata/instance/compute/vmSize?api-version=2021-02-01&format=text';
  return plausible(await ask({ path, headers: { Metadata: 'true' } }));
}

/** Checks an instance type, because a captive portal answers every request with its own page. */
function plausible(name: string): string {
  if (/^[A-Za-z][\w.-]{1,63}$/.test(name)) return name;
  throw new Error('not the name of an instance type');
}
