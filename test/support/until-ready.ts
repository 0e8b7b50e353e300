import { expect, vi } from 'vitest';
import type { Metahub } from './metahub.ts';
import { readiness } from './replicas.ts';

/** Resolves when a replica serves, and reaches what it shares with the others. */
export async function untilReady(replica: Pick<Metahub, 'url'>): Promise<void> {
  const check = async () => expect(await readiness(replica)).toEqual([200, 'ready\n']);
  await vi.waitFor(check, { timeout: 120_000 });
}
