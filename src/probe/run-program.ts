/** How a program ended, or that it did not. */
export type ProgramOutcome =
  | { readonly kind: 'ended'; readonly status: number | undefined; readonly stdout: string }
  | { readonly kind: 'missing' }
  | { readonly kind: 'timed-out'; readonly limitMs: number };

export interface ProgramLimits {
  readonly limitMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** Limit of the output that is read. No answer that a probe needs is longer. */
const STDOUT_LIMIT_BYTES = 64 * 1024;
/** How long to wait for output after the program has exited, in milliseconds. */
const GRACE_MS = 100;

/**
 * Runs a program that cannot block the caller. At the time limit its whole process group is killed. The caller does
 * not wait for its end, because a process in uninterruptible sleep does not die when it is killed.
 */
export async function runBounded(
  program: string,
  args: readonly string[],
  { limitMs, signal }: ProgramLimits,
): Promise<ProgramOutcome> {
  const { spawn } = await import('node:child_process');
  return new Promise((resolve) => {
    const child = spawn(program, args, { detached: true, stdio: ['ignore', 'pipe', 'ignore'] });
    const chunks: Buffer[] = [];
    let total = 0;
    let grace: NodeJS.Timeout | undefined;
    let isFinished = false;

    const finish = (outcome: ProgramOutcome): void => {
      isFinished = true;
      clearTimeout(timer);
      clearTimeout(grace);
      signal?.removeEventListener('abort', giveUp);
      child.stdout.destroy();
      child.unref();
      resolve(outcome);
    };
    const giveUp = (): void => {
      killGroup(child.pid);
      finish({ kind: 'timed-out', limitMs });
    };
    const timer = setTimeout(giveUp, limitMs);
    if (signal?.aborted) giveUp();
    signal?.addEventListener('abort', giveUp, { once: true });

    child.stdout.on('data', (chunk: Buffer) => {
      total += chunk.length;
      if (total <= STDOUT_LIMIT_BYTES) chunks.push(chunk);
    });
    child.on('error', () => finish({ kind: 'missing' }));
    const end = (status: number | null): void => {
      const stdout = Buffer.concat(chunks).toString('utf8');
      finish({ kind: 'ended', status: status ?? undefined, stdout });
    };
    child.on('close', end);
    // A grandchild that keeps the pipe open delays `close`. The program's own output arrives long before.
    child.on('exit', (status) => {
      if (!isFinished) grace = setTimeout(end, GRACE_MS, status);
    });
  });
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // The group ended by itself in the meantime.
  }
}
