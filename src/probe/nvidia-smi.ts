import { runBounded } from './run-program.ts';

/** What nvidia-smi reports for one GPU. A value that it does not report is absent. */
export interface SmiGpu {
  /** In the form of sysfs: `0000:41:00.0`. */
  readonly pciAddress?: string;
  readonly name?: string;
  readonly computeCapability?: string;
  readonly driver?: string;
}

export type SmiAnswer =
  | { readonly kind: 'gpus'; readonly gpus: readonly SmiGpu[] }
  /** `why` completes the sentence "nvidia-smi …". */
  | { readonly kind: 'unavailable'; readonly why: string };

export interface NvidiaSmiOptions {
  /** The program's name or path. */
  readonly program?: string | undefined;
  readonly limitMs?: number;
  readonly signal?: AbortSignal | undefined;
}

const QUERY = [
  '--query-gpu=index,name,pci.bus_id,pci.device_id,compute_cap,driver_version',
  '--format=csv,noheader',
];

/** Time limit in milliseconds: nvidia-smi can hang forever after a GPU fell off its bus. */
const LIMIT_MS = 2000;

/** Asks nvidia-smi for all GPUs, for at most two seconds. */
export async function queryNvidiaSmi({
  program = 'nvidia-smi',
  limitMs = LIMIT_MS,
  signal,
}: NvidiaSmiOptions = {}): Promise<SmiAnswer> {
  const outcome = await runBounded(program, QUERY, { limitMs, signal });
  switch (outcome.kind) {
    case 'missing':
      return { kind: 'unavailable', why: 'is not installed' };
    case 'timed-out':
      return { kind: 'unavailable', why: `did not answer within ${outcome.limitMs / 1000} s and was killed` };
    case 'ended':
      return parseNvidiaSmi(outcome.stdout, outcome.status);
  }
}

/**
 * The highest CUDA version that the driver runs, from the head of nvidia-smi's table. Undefined when it is not
 * there.
 */
export async function queryCudaVersion({
  program = 'nvidia-smi',
  limitMs = LIMIT_MS,
  signal,
}: NvidiaSmiOptions = {}): Promise<string | undefined> {
  const outcome = await runBounded(program, [], { limitMs, signal });
  return outcome.kind === 'ended' ? parseCudaVersion(outcome.stdout) : undefined;
}

/** Parses `CUDA Version: 13.0`. Drivers that also name the kernel part print `CUDA UMD Version: 13.2`. */
export function parseCudaVersion(stdout: string): string | undefined {
  return /CUDA (?:UMD )?Version:\s*(\d+\.\d+)/.exec(stdout)?.[1];
}

/** Messages of nvidia-smi, with what they mean. Seen with drivers 390 to 580. */
const COMPLAINTS: readonly (readonly [RegExp, string])[] = [
  [/is not a valid field to query/, 'is too old to report compute capabilities (driver 470 or older)'],
  [/No devices were found/, 'found no device, though one is on the PCI bus'],
  [/couldn't communicate with the NVIDIA driver/, 'could not reach the driver: is its module loaded?'],
  [
    /Driver\/library version mismatch/,
    'has another version than the loaded driver: reboot, or reload the module',
  ],
];

/** Parses the answer to the query: one line for each GPU, or a message instead. */
export function parseNvidiaSmi(stdout: string, status: number | undefined): SmiAnswer {
  const gpus = stdout.split('\n').flatMap((line) => parseRow(line));
  if (gpus.length > 0) return { kind: 'gpus', gpus };
  const known = COMPLAINTS.find(([words]) => words.test(stdout));
  if (known !== undefined) return { kind: 'unavailable', why: known[1] };
  const end = status === undefined ? 'was killed' : `ended with status ${status}`;
  return { kind: 'unavailable', why: `${end} and named no GPU` };
}

function parseRow(line: string): SmiGpu[] {
  const columns = line.split(',').map((column) => column.trim());
  if (columns.length < 6 || !/^\d+$/.test(columns[0] ?? '')) return [];
  // Counted from the end, because a name may contain commas.
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

/** False for `[N/A]`, `[Not Supported]`, `[Unknown Error]` and `[GPU requires reset]`: it cannot report the value. */
function isValue(text: string): boolean {
  return text !== '' && text !== 'N/A' && !/^\[.*\]$/.test(text);
}

/** Converts a PCI address: nvidia-smi prints eight digits for the domain, sysfs at least four. */
function sysfsAddress(busId: string): string | undefined {
  const parts = /^([0-9a-f]{4,8}):([0-9a-f]{2}:[0-9a-f]{2}\.[0-7])$/i.exec(busId);
  if (parts?.[1] === undefined || parts[2] === undefined) return undefined;
  const domain = Number.parseInt(parts[1], 16).toString(16).padStart(4, '0');
  return `${domain}:${parts[2].toLowerCase()}`;
}
