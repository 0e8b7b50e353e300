import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Metahub, type MetahubOptions, startMetahub } from './metahub.ts';
import { openWorkplace, type Workplace } from './workplace.ts';

export interface ReplicasOptions extends MetahubOptions {
  /** Further arguments of one replica, counted from 0. */
  readonly argsOf?: (at: number) => readonly string[];
}

/** Starts a mirror's replicas, each with its own data, all with the same token key. */
export async function startReplicas(
  workplace: Workplace,
  count: number,
  { args = [], argsOf = () => [], ...options }: ReplicasOptions,
): Promise<readonly Metahub[]> {
  const key = join(workplace.directory, 'token.key');
  writeFileSync(key, `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 });
  const starting = Array.from({ length: count }, (_, at) => {
    const own = openWorkplace();
    workplace.onClose(() => own.close());
    return startMetahub(own, { ...options, args: ['--token-key', key, ...args, ...argsOf(at)] });
  });
  return Promise.all(starting);
}

/** The response of a mirror's readiness endpoint. */
export async function readiness({
  url,
}: Pick<Metahub, 'url'>): Promise<readonly [status: number, text: string]> {
  const response = await fetch(`${url}/readyz`);
  return [response.status, await response.text()];
}
