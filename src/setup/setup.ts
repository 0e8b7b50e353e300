import { createHash } from 'node:crypto';
import { mkdirSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { writeConfigFile } from '../lib/config-file.ts';
import { locate, resolveBelow } from '../lib/link-path.ts';
import { type ConfigFiles, configFilesAt } from './files.ts';
import type { FileChange, MirrorTarget, RuntimeSetup, RuntimeSetupName, SetupPlan } from './runtime.ts';

/** Where setup records its changes, so that they can be undone. */
const STATE_FOLDER = '/var/lib/metahub/setup';
const STATE_FILE = `${STATE_FOLDER}/state.json`;

interface ChangedFile {
  /** The content without MetaHub's part, as of the last run of setup; null: the file did not exist. */
  readonly before: string | null;
  /** SHA-256 of the content that setup wrote, in hexadecimal. */
  readonly written: string;
  /** Folders that setup created for the file, the outermost first. */
  readonly folders: readonly string[];
}

/** The files that setup wrote, by path. */
export interface SetupState {
  /** The URL of the mirror in the files. */
  readonly url: string | undefined;
  readonly files: Readonly<Record<string, ChangedFile>>;
}

const NO_STATE: SetupState = { url: undefined, files: {} };

/** @throws when the file is damaged: then the former content of the files is unknown */
function readState(files: ConfigFiles): SetupState {
  const text = files.read(STATE_FILE);
  return text === undefined ? NO_STATE : (JSON.parse(text) as SetupState);
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Creates the folder and its parents. Returns those that were missing, the outermost first. */
function makeFolders(root: string, folder: string): readonly string[] {
  const missing: string[] = [];
  for (let at = folder; at !== '/' && !exists(locate(root, at)); at = dirname(at)) missing.unshift(at);
  if (missing.length > 0) mkdirSync(locate(root, folder), { recursive: true, mode: 0o755 });
  return missing;
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** Replaces or makes the file that `path` leads to on that machine. */
function write(root: string, path: string, text: string, mode = 0o644): Promise<void> {
  return writeConfigFile(locate(root, path), text, { mode });
}

async function writeState(root: string, state: SetupState): Promise<void> {
  if (Object.keys(state.files).length === 0) {
    rmSync(locate(root, STATE_FOLDER), { recursive: true, force: true });
    removeIfEmpty(locate(root, dirname(STATE_FOLDER)));
    return;
  }
  mkdirSync(locate(root, STATE_FOLDER), { recursive: true, mode: 0o755 });
  // The state may contain a daemon.json with a proxy's password.
  await write(root, STATE_FILE, `${JSON.stringify(state, undefined, 2)}\n`, 0o600);
}

/**
 * Writes the changes, each file atomically, and records the former content.
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
    // The record comes first, so that a crash after it loses nothing.
    await writeState(root, { url, files: changed });
    await write(root, path, text);
  }
}

/**
 * Undoes the changes. Restores an unedited file byte for byte; removes only MetaHub's part from an edited
 * one. Removes files and folders that setup created and that have no other content.
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
    // Removes the file that setup created, not the link that leads to it.
    if (restored === undefined) rmSync(locate(root, path), { force: true });
    else await write(root, path, restored);
    delete left[path];
    await writeState(root, { url: state.url, files: left });
  }
  const folders = changes.flatMap(({ path }) => state.files[path]?.folders ?? []);
  // The innermost first: the path of a folder is longer than those of its parents.
  for (const folder of folders.toSorted((one, other) => other.length - one.length))
    removeIfEmpty(locate(root, folder));
}

/** Returns the content of a file after removal; undefined: the file is removed. */
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
    // The folder has other content, or is gone.
  }
}

/** What setup does, or would do, with one runtime. */
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
  /** The text before and after; undefined: the file does not exist. */
  readonly before: string | undefined;
  readonly after: string | undefined;
}

export interface SetupOptions {
  /** `/`, or a folder with another machine's files. */
  readonly root: string;
  readonly target: MirrorTarget;
  readonly dryRun: boolean;
}

/**
 * Handles one runtime after another, each with the files in their state at that time. A failure with one
 * runtime becomes its outcome, and does not affect the others.
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

/** Configures the runtimes to pull through the mirror, or returns what that would change. */
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

/** Removes what {@link configureRuntimes} added, or returns what that would change. */
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
