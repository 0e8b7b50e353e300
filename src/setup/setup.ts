import { createHash } from 'node:crypto';
import { mkdirSync, realpathSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { replaceFile } from '../lib/atomic-file.ts';
import { type ConfigFiles, configFilesAt } from './files.ts';
import type { FileChange, MirrorTarget, RuntimeSetup, RuntimeSetupName, SetupPlan } from './runtime.ts';

/** Where setup remembers what it changed, so that removal restores it. */
const STATE_FOLDER = '/var/lib/metahub/setup';
const STATE_FILE = `${STATE_FOLDER}/state.json`;

interface ChangedFile {
  /** The file without MetaHub's part, as it stood when setup last ran; null: there was none. */
  readonly before: string | null;
  /** SHA-256 of what setup wrote, hexadecimal. */
  readonly written: string;
  /** Folders that setup made for it, outermost first. */
  readonly folders: readonly string[];
}

/** What setup wrote, by path. */
export interface SetupState {
  /** The mirror's URL that the files name. */
  readonly url: string | undefined;
  readonly files: Readonly<Record<string, ChangedFile>>;
}

const NO_STATE: SetupState = { url: undefined, files: {} };

/** @throws when the file is damaged: what it said cannot be restored any more */
export function readState(files: ConfigFiles): SetupState {
  const text = files.read(STATE_FILE);
  return text === undefined ? NO_STATE : (JSON.parse(text) as SetupState);
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Makes the folder and those above it; answers those that were missing, outermost first. */
function makeFolders(root: string, folder: string): readonly string[] {
  const missing: string[] = [];
  for (let at = folder; at !== '/' && !exists(join(root, at)); at = dirname(at)) missing.unshift(at);
  if (missing.length > 0) mkdirSync(join(root, folder), { recursive: true, mode: 0o755 });
  return missing;
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** Replaces the file that `path` leads to, keeping a link, its mode and its owner. */
async function write(root: string, path: string, text: string, mode = 0o644): Promise<void> {
  const full = join(root, path);
  const target = exists(full) ? realpathSync(full) : full;
  const stats = statSync(target, { throwIfNoEntry: false });
  await replaceFile(target, Buffer.from(text), {
    mode: stats === undefined ? mode : stats.mode & 0o7777,
    owner: stats === undefined ? undefined : { uid: stats.uid, gid: stats.gid },
  });
}

async function writeState(root: string, state: SetupState): Promise<void> {
  if (Object.keys(state.files).length === 0) {
    rmSync(join(root, STATE_FOLDER), { recursive: true, force: true });
    removeIfEmpty(join(root, dirname(STATE_FOLDER)));
    return;
  }
  mkdirSync(join(root, STATE_FOLDER), { recursive: true, mode: 0o755 });
  // A daemon.json may hold a proxy's password.
  await write(root, STATE_FILE, `${JSON.stringify(state, undefined, 2)}\n`, 0o600);
}

/**
 * Writes the changes, each file at once, and remembers what stood there before.
 * @param without the same files without MetaHub's part
 */
export async function applyChanges(
  root: string,
  files: ConfigFiles,
  changes: readonly FileChange[],
  without: (path: string) => string | undefined,
  url: string,
): Promise<void> {
  const state = readState(files);
  const changed: Record<string, ChangedFile> = { ...state.files };
  for (const { path, text } of changes) {
    if (text === undefined) throw new Error(`setup never removes a file it configures: ${path}`);
    const known = changed[path];
    const before = without(path) ?? null;
    const folders = makeFolders(root, dirname(path));
    changed[path] = {
      before: known?.before === null && (before === null || before.trim() === '') ? null : before,
      written: sha256(text),
      folders: [...(known?.folders ?? []), ...folders],
    };
    // Remembered first: a crash after this line loses nothing.
    await writeState(root, { url, files: changed });
    await write(root, path, text);
  }
}

/**
 * Takes the changes back: a file that nobody edited since is restored byte for byte; of an edited one only MetaHub's part
 * goes. A file or folder that setup made and that holds nothing else is removed.
 */
export async function removeChanges(
  root: string,
  files: ConfigFiles,
  changes: readonly FileChange[],
): Promise<void> {
  const state = readState(files);
  const left: Record<string, ChangedFile> = { ...state.files };
  for (const { path, text } of changes) {
    const known = state.files[path];
    const restored = restoredText(files, path, text, known);
    if (restored === undefined) rmSync(join(root, path), { force: true });
    else await write(root, path, restored);
    delete left[path];
    await writeState(root, { url: state.url, files: left });
  }
  const folders = changes.flatMap(({ path }) => state.files[path]?.folders ?? []);
  // The innermost first: a folder is longer than those that hold it.
  for (const folder of folders.toSorted((one, other) => other.length - one.length))
    removeIfEmpty(join(root, folder));
}

/** What a file is to hold after removal; undefined: it is to go. */
export function restoredText(
  files: ConfigFiles,
  path: string,
  withoutOurs: string | undefined,
  known: ChangedFile | undefined = readState(files).files[path],
): string | undefined {
  const current = files.read(path);
  if (known !== undefined && current !== undefined && sha256(current) === known.written)
    return known.before ?? undefined;
  const isEmpty = withoutOurs === undefined || /^(?:\s|\{\s*\})*$/.test(withoutOurs);
  return isEmpty && (known?.before ?? null) === null ? undefined : (withoutOurs ?? '');
}

function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // It holds something else, or is gone.
  }
}

/** What setup does, or would do, to one runtime. */
export interface RuntimeOutcome {
  readonly runtime: RuntimeSetupName;
  readonly changes: readonly ShownChange[];
  readonly warnings: readonly string[];
  readonly reload: SetupPlan['reload'];
  /** Why this runtime was left as it is. */
  readonly error?: string;
}

interface ShownChange {
  readonly path: string;
  /** The text before and after; undefined: no such file. */
  readonly before: string | undefined;
  readonly after: string | undefined;
}

export interface SetupOptions {
  /** `/`, or a tree that stands for a machine. */
  readonly root: string;
  readonly target: MirrorTarget;
  readonly dryRun: boolean;
}

/** One runtime's failure leaves the others alone: it is an outcome. */
/** Works on one runtime after the other, each with the files as they are then; a failure of one is its outcome. */
async function forEachRuntime(
  runtimes: readonly RuntimeSetup[],
  root: string,
  work: (runtime: RuntimeSetup, files: ConfigFiles) => Promise<Omit<RuntimeOutcome, 'runtime'>>,
): Promise<readonly RuntimeOutcome[]> {
  const outcomes: RuntimeOutcome[] = [];
  for (const runtime of runtimes) {
    const outcome = await work(runtime, configFilesAt(root)).catch((error: Error) => ({
      changes: [],
      warnings: [],
      reload: undefined,
      error: error.message,
    }));
    outcomes.push({ runtime: runtime.name, ...outcome });
  }
  return outcomes;
}

/** Configures the runtimes to pull through the mirror, or says what that would change. */
export function configureRuntimes(
  runtimes: readonly RuntimeSetup[],
  { root, target, dryRun }: SetupOptions,
): Promise<readonly RuntimeOutcome[]> {
  return forEachRuntime(runtimes, root, async (runtime, files) => {
    const plan = runtime.configure(files, target);
    const changes = shown(plan.changes, files.read);
    if (!dryRun) {
      const known = readState(files).url ?? target.url;
      const without = new Map(runtime.remove(files, known).changes.map(({ path, text }) => [path, text]));
      const before = (path: string) => (without.has(path) ? without.get(path) : files.read(path));
      await applyChanges(root, files, plan.changes, before, target.url);
    }
    return { changes, warnings: plan.warnings, reload: changes.length > 0 ? plan.reload : undefined };
  });
}

/** Takes out what {@link configureRuntimes} put in, or says what that would change. */
export function removeFromRuntimes(
  runtimes: readonly RuntimeSetup[],
  { root, target, dryRun }: SetupOptions,
): Promise<readonly RuntimeOutcome[]> {
  return forEachRuntime(runtimes, root, async (runtime, files) => {
    const plan = runtime.remove(files, readState(files).url ?? target.url);
    const restored = plan.changes.map(
      ({ path, text }): FileChange => ({ path, text: restoredText(files, path, text) }),
    );
    const changes = shown(restored, files.read);
    if (!dryRun) await removeChanges(root, files, plan.changes);
    return { changes, warnings: plan.warnings, reload: plan.reload };
  });
}

function shown(
  changes: readonly FileChange[],
  read: (path: string) => string | undefined,
): readonly ShownChange[] {
  return changes.map(({ path, text }) => ({ path, before: read(path), after: text }));
}
