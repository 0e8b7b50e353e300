/** How a program ended, or that it did not. */
export type ProgramOutcome =
  | { readonly kind: 'ended'; readonly status: number | undefined; readonly stdout: string }
  | { readonly kind: 'missing' }
  | { readonly kind: 'timed-out'; readonly limitMs: number };

export interface ProgramLimits {
  readonly limitMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** More output than this is not read: no answer we ask for is longer. */
const STDOUT_LIMIT_BYTES = 64 * 1024;
/** How long output may lag behind the end of the program that wrote it. */
const GRACE_MS = 100;

/**
 * Runs a program that cannot hold us up: in a process group of its own, killed as a whole when the time is over, and
 * never waited for after that, because a process in uninterruptible sleep does not die when killed.
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

    const finish = (outcome: ProgramOutcome): void => {
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
    // A grandchild that keeps the pipe open keeps `close` away; what the program itself wrote arrives long before.
    child.on('exit', (status) => {
      grace = setTimeout(end, GRACE_MS, status);
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

/** What nvidia-smi says of one GPU. A value it would not tell is absent. */
export interface SmiGpu {
  /** As sysfs spells it: `0000:41:00.0`. */
  readonly pciAddress?: string;
  readonly name?: string;
  readonly computeCapability?: string;
  readonly driver?: string;
}

export type SmiAnswer =
  | { readonly kind: 'gpus'; readonly gpus: readonly SmiGpu[] }
  /** `why` completes "nvidia-smi …". */
  | { readonly kind: 'silent'; readonly why: string };

export interface NvidiaSmiOptions {
  /** The program, by name or path. */
  readonly program?: string;
  readonly limitMs?: number;
  readonly signal?: AbortSignal | undefined;
}

const QUERY = [
  '--query-gpu=index,name,pci.bus_id,pci.device_id,compute_cap,driver_version',
  '--format=csv,noheader',
];

/** Asks nvidia-smi, for two seconds at most: it can hang for ever behind a GPU that fell off its bus. */
export async function askNvidiaSmi({
  program = 'nvidia-smi',
  limitMs = 2000,
  signal,
}: NvidiaSmiOptions = {}): Promise<SmiAnswer> {
  const outcome = await runBounded(program, QUERY, { limitMs, signal });
  switch (outcome.kind) {
    case 'missing':
      return { kind: 'silent', why: 'is not installed' };
    case 'timed-out':
      return { kind: 'silent', why: `did not answer within ${outcome.limitMs / 1000} s and was killed` };
    case 'ended':
      return parseNvidiaSmi(outcome.stdout, outcome.status);
  }
}

/** Exit statuses and the words beside them, as seen from drivers 390 to 580. */
const COMPLAINTS: readonly (readonly [RegExp, string])[] = [
  [/is not a valid field to query/, 'is too old to tell compute capabilities (driver 470 or older)'],
  [/No devices were found/, 'found no device, though one is on the PCI bus'],
  [/couldn't communicate with the NVIDIA driver/, 'could not reach the driver: is its module loaded?'],
  [
    /Driver\/library version mismatch/,
    'has another version than the loaded driver: reboot, or reload the module',
  ],
];

/** Parses the answer to the query above: one line for each GPU, or a complaint in its place. */
export function parseNvidiaSmi(stdout: string, status: number | undefined): SmiAnswer {
  const gpus = stdout.split('\n').flatMap((line) => parseRow(line));
  if (gpus.length > 0) return { kind: 'gpus', gpus };
  const known = COMPLAINTS.find(([words]) => words.test(stdout));
  if (known !== undefined) return { kind: 'silent', why: known[1] };
  const end = status === undefined ? 'was killed' : `ended with status ${status}`;
  return { kind: 'silent', why: `${end} and named no GPU` };
}

function parseRow(line: string): SmiGpu[] {
  const columns = line.split(',').map((column) => column.trim());
  if (columns.length < 6 || !/^\d+$/.test(columns[0] ?? '')) return [];
  // From the right: nothing forbids a comma in a name.
  const [busId, , capability, driver] = columns.slice(-4);
  const name = columns.slice(1, -4).join(', ');
  const pciAddress = sysfsAddress(busId ?? '');
  return [
    {
      ...(pciAddress === undefined ? {} : { pciAddress }),
      ...(isValue(name) ? { name } : {}),
      ...(/^\d+\.\d+$/.test(capability ?? '') ? { computeCapability: capability as string } : {}),
      ...(/^\d+(\.\d+)+$/.test(driver ?? '') ? { driver: driver as string } : {}),
    },
  ];
}

/** `[N/A]`, `[Not Supported]`, `[Unknown Error]`, `[GPU requires reset]` stand for what it cannot tell. */
function isValue(text: string): boolean {
  return text !== '' && text !== 'N/A' && !/^\[.*\]$/.test(text);
}

/** nvidia-smi writes the PCI domain with eight digits, sysfs with at least four. */
function sysfsAddress(busId: string): string | undefined {
  const parts = /^([0-9a-f]{4,8}):([0-9a-f]{2}:[0-9a-f]{2}\.[0-7])$/i.exec(busId);
  if (parts?.[1] === undefined || parts[2] === undefined) return undefined;
  const domain = Number.parseInt(parts[1], 16).toString(16).padStart(4, '0');
  return `${domain}:${parts[2].toLowerCase()}`;
}
