import { createHash } from 'node:crypto';
import { mkdirSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { replaceFile } from '../lib/atomic-file.ts';
import { type ConfigFiles, configFilesAt } from './files.ts';
import { locate, resolveBelow } from './root-path.ts';
import type { FileChange, MirrorTarget, RuntimeSetup, RuntimeSetupName, SetupPlan } from './runtime.ts';

/** Where setup records what it changed, so that removal restores it. */
const STATE_FOLDER = '/var/lib/metahub/setup';
const STATE_FILE = `${STATE_FOLDER}/state.json`;

interface ChangedFile {
  /** The file without MetaHub's part, as of the last run of setup; null: there was none. */
  readonly before: string | null;
  /** SHA-256 of what setup wrote, in hexadecimal. */
  readonly written: string;
  /** Folders that setup created for it, outermost first. */
  readonly folders: readonly string[];
}

/** What setup wrote, by path. */
export interface SetupState {
  /** The mirror's URL in the files. */
  readonly url: string | undefined;
  readonly files: Readonly<Record<string, ChangedFile>>;
}

const NO_STATE: SetupState = { url: undefined, files: {} };

/** @throws when the file is damaged: its content can no longer be restored */
function readState(files: ConfigFiles): SetupState {
  const text = files.read(STATE_FILE);
  return text === undefined ? NO_STATE : (JSON.parse(text) as SetupState);
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Creates the folder and its parents; answers those that were missing, outermost first. */
function makeFolders(root: string, folder: string): readonly string[] {
  const missing: string[] = [];
  for (let at = folder; at !== '/' && !exists(locate(root, at)); at = dirname(at)) missing.unshift(at);
  if (missing.length > 0) mkdirSync(locate(root, folder), { recursive: true, mode: 0o755 });
  return missing;
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** Replaces or makes the file that `path` leads to; keeps a link, its mode and its owner. */
async function write(root: string, path: string, text: string, mode = 0o644): Promise<void> {
  const target = locate(root, path);
  const stats = statSync(target, { throwIfNoEntry: false });
  await replaceFile(target, Buffer.from(text), {
    mode: stats === undefined ? mode : stats.mode & 0o7777,
    owner: stats === undefined ? undefined : { uid: stats.uid, gid: stats.gid },
  });
}

async function writeState(root: string, state: SetupState): Promise<void> {
  if (Object.keys(state.files).length === 0) {
    rmSync(locate(root, STATE_FOLDER), { recursive: true, force: true });
    removeIfEmpty(locate(root, dirname(STATE_FOLDER)));
    return;
  }
  mkdirSync(locate(root, STATE_FOLDER), { recursive: true, mode: 0o755 });
  // A daemon.json may contain a proxy's password.
  await write(root, STATE_FILE, `${JSON.stringify(state, undefined, 2)}\n`, 0o600);
}

/**
 * Writes the changes, each file atomically, and records the earlier content.
 * @param without the same files without MetaHub's part
 */
async function applyChanges(
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
    const folders = makeFolders(root, dirname(resolveBelow(root, path)));
    changed[path] = {
      before: known?.before === null && (before === null || before.trim() === '') ? null : before,
      written: sha256(text),
      folders: [...(known?.folders ?? []), ...folders],
    };
    // Recorded first: a crash after this line loses nothing.
    await writeState(root, { url, files: changed });
    await write(root, path, text);
  }
}

/**
 * Undoes the changes: a file that was not edited since is restored byte for byte; an edited one only loses MetaHub's
 * part. A file or folder that setup created and that has nothing else in it is removed.
 */
async function removeChanges(
  root: string,
  files: ConfigFiles,
  changes: readonly FileChange[],
): Promise<void> {
  const state = readState(files);
  const left: Record<string, ChangedFile> = { ...state.files };
  for (const { path, text } of changes) {
    const known = state.files[path];
    const restored = restoredText(files, path, text, known);
    // The file that setup made, not the link that leads to it.
    if (restored === undefined) rmSync(locate(root, path), { force: true });
    else await write(root, path, restored);
    delete left[path];
    await writeState(root, { url: state.url, files: left });
  }
  const folders = changes.flatMap(({ path }) => state.files[path]?.folders ?? []);
  // The innermost first: a folder's path is longer than those of its parents.
  for (const folder of folders.toSorted((one, other) => other.length - one.length))
    removeIfEmpty(locate(root, folder));
}

/** A file's content after removal; undefined: remove the file. */
function restoredText(
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
    // It has other content, or is gone.
  }
}

/** What setup does, or would do, to one runtime. */
export interface RuntimeOutcome {
  readonly runtime: RuntimeSetupName;
  readonly changes: readonly ShownChange[];
  readonly warnings: readonly string[];
  readonly reload: SetupPlan['reload'];
  /** Why setup left this runtime unchanged. */
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

/**
 * Works on one runtime after another, each with the files as they are then; a failure of one runtime is its outcome and
 * leaves the others alone.
 */
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

/** Configures the runtimes to pull through the mirror, or shows what that would change. */
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

/** Removes what {@link configureRuntimes} added, or shows what that would change. */
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
