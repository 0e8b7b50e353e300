import { createHash } from 'node:crypto';
import { mkdirSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { removeUnfinished } from '../lib/atomic-file.ts';
import { writeConfigFile } from '../lib/config-file.ts';
import { locate, resolveBelow } from '../lib/link-path.ts';
import { type ConfigFiles, configFilesAt } from './files.ts';
import {
  type FileChange,
  type MirrorTarget,
  RuntimeConfigError,
  type RuntimeSetup,
  type RuntimeSetupName,
  type SetupPlan,
} from './runtime.ts';
import { RUNTIME_SETUPS } from './runtimes.ts';
import {
  type ChangedFile,
  readState,
  removeIfEmpty,
  type SetupState,
  withSetupLock,
  writeState,
} from './state.ts';

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Returns the folder and its parents that do not exist, the outermost first. */
function missingFolders(root: string, folder: string): readonly string[] {
  const missing: string[] = [];
  for (let at = folder; at !== '/' && !exists(locate(root, at)); at = dirname(at)) missing.unshift(at);
  return missing;
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** Tells whether a text has nothing but white space and empty JSON objects. */
function isBlank(text: string | null | undefined): boolean {
  return text === undefined || text === null || /^(?:\s|\{\s*\})*$/.test(text);
}

/** Tells whether the file is as setup wrote it. */
function isUntouched(known: ChangedFile, current: string | undefined): boolean {
  return current !== undefined && sha256(current) === known.written;
}

/** Replaces or creates the file that `path` leads to on that machine. */
async function write(root: string, path: string, text: string): Promise<void> {
  const target = locate(root, path);
  // Under the lock, unfinished files can only come from a setup that was killed.
  await removeUnfinished(dirname(target));
  await writeConfigFile(target, text, { mode: 0o644 });
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
  const urls = [...new Set([...state.urls, url])];
  const changed: Record<string, ChangedFile> = { ...state.files };
  for (const { path, text } of changes) {
    if (text === undefined) throw new Error(`setup never removes a file it configures: ${path}`);
    const known = changed[path];
    const before = known && isUntouched(known, files.read(path)) ? known.before : (without(path) ?? null);
    const folder = dirname(resolveBelow(root, path));
    changed[path] = {
      before: known?.before === null && isBlank(before) ? null : before,
      written: sha256(text),
      folders: [...new Set([...(known?.folders ?? []), ...missingFolders(root, folder)])],
    };
    // Recorded first: a crash after this line loses nothing.
    await writeState(root, { urls, files: changed });
    mkdirSync(locate(root, folder), { recursive: true, mode: 0o755 });
    await write(root, path, text);
  }
}

/**
 * Undoes the changes. Restores an unedited file byte for byte; removes only MetaHub's part from an edited
 * one. Removes files and folders that setup created and that have no other content.
 */
async function removeChanges(root: string, changes: readonly FileChange[]): Promise<void> {
  for (const { path, text } of changes) {
    // The file that setup made, not the link that leads to it.
    if (text === undefined) rmSync(locate(root, path), { force: true });
    else await write(root, path, text);
  }
  await forgetRestored(root);
}

/**
 * Drops the records of files without MetaHub's part, and the folders that setup created for them. Drops the records last,
 * so that the next removal can finish the work of a process that was killed.
 */
async function forgetRestored(root: string): Promise<void> {
  const files = configFilesAt(root);
  const state = readState(files);
  const ours = pathsWithOurs(files, state.urls);
  const isDone = ([path, known]: readonly [string, ChangedFile]) =>
    !ours.has(path) && !isUntouched(known, files.read(path));
  const entries = Object.entries(state.files);
  const done = entries.filter(isDone);
  if (done.length === 0 && entries.length > 0) return;
  for (const [path] of done) {
    const folder = locate(root, dirname(path));
    if (exists(folder)) await removeUnfinished(folder);
  }
  const folders = new Set(done.flatMap(([, known]) => known.folders));
  // The innermost first: a folder's path is longer than those of its parents.
  for (const folder of [...folders].sort((one, other) => other.length - one.length))
    removeIfEmpty(locate(root, folder));
  const left = entries
    .filter((entry) => !isDone(entry))
    .map(
      ([path, known]) => [path, { ...known, folders: withParents(known.folders, folders, path) }] as const,
    );
  await writeState(root, { ...state, files: Object.fromEntries(left) });
}

/** Adds the created folders above `path`: the last file below a folder takes it away. */
function withParents(own: readonly string[], created: ReadonlySet<string>, path: string): readonly string[] {
  return [...new Set([...own, ...[...created].filter((folder) => path.startsWith(`${folder}/`))])];
}

/** Returns the files that contain MetaHub's part, or cannot be parsed. */
function pathsWithOurs(files: ConfigFiles, urls: readonly string[]): ReadonlySet<string> {
  const paths = RUNTIME_SETUPS.flatMap((runtime) => {
    try {
      return runtime.remove(files, urls).changes.map(({ path }) => path);
    } catch (error) {
      if (error instanceof RuntimeConfigError) return [error.path];
      throw error;
    }
  });
  return new Set(paths);
}

/** Returns the content of the files after removal; undefined: the file is removed. */
function restoring(
  withoutOurs: readonly FileChange[],
  files: ConfigFiles,
  state: SetupState,
): readonly FileChange[] {
  return withoutOurs.map(({ path, text }) => {
    const known = state.files[path];
    if (known && isUntouched(known, files.read(path))) return { path, text: known.before ?? undefined };
    const isLeftEmpty = isBlank(text) && (known?.before ?? null) === null;
    return { path, text: isLeftEmpty ? undefined : (text ?? '') };
  });
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
function forEachRuntime(
  runtimes: readonly RuntimeSetup[],
  { root, dryRun }: Pick<SetupOptions, 'root' | 'dryRun'>,
  work: (runtime: RuntimeSetup, files: ConfigFiles) => Promise<Omit<RuntimeOutcome, 'runtime'>>,
): Promise<readonly RuntimeOutcome[]> {
  const workOnAll = () => workInTurn(runtimes, root, dryRun ? 'read' : 'change', work);
  if (dryRun) return workOnAll();
  return withSetupLock(root, workOnAll).catch((error: unknown) =>
    runtimes.map(({ name }) => ({ runtime: name, ...failed(error, 'change') })),
  );
}

/** Returns the outcome of a runtime that setup left as it is. */
function failed(error: unknown, verb: 'read' | 'change'): Omit<RuntimeOutcome, 'runtime'> {
  const { code = '', message, path } = error as NodeJS.ErrnoException;
  const mayNot = ['EACCES', 'EPERM'].includes(code) && path !== undefined;
  // Not the path itself: it may be that of the lock, or of a new file that replaces another.
  const why = mayNot ? `this user may not ${verb} files in ${dirname(path)}: run it as root (sudo)` : message;
  return { changes: [], warnings: [], reload: undefined, error: why };
}

async function workInTurn(
  runtimes: readonly RuntimeSetup[],
  root: string,
  verb: 'read' | 'change',
  work: (runtime: RuntimeSetup, files: ConfigFiles) => Promise<Omit<RuntimeOutcome, 'runtime'>>,
): Promise<readonly RuntimeOutcome[]> {
  const outcomes: RuntimeOutcome[] = [];
  for (const runtime of runtimes) {
    const outcome = await work(runtime, configFilesAt(root)).catch((error) => failed(error, verb));
    outcomes.push({ runtime: runtime.name, ...outcome });
  }
  return outcomes;
}

/** Configures the runtimes to pull through the mirror, or returns what that would change. */
export function configureRuntimes(
  runtimes: readonly RuntimeSetup[],
  { root, target, dryRun }: SetupOptions,
): Promise<readonly RuntimeOutcome[]> {
  return forEachRuntime(runtimes, { root, dryRun }, async (runtime, files) => {
    const state = readState(files);
    const { urls } = state;
    const plan = runtime.configure(
      files,
      target,
      urls.filter((url) => url !== target.url),
    );
    const obsolete = restoring(plan.obsolete ?? [], files, state);
    const changes = shown([...plan.changes, ...obsolete], files.read);
    if (!dryRun) {
      const { changes: removals } = runtime.remove(files, [...urls, target.url]);
      const without = new Map(removals.map(({ path, text }) => [path, text]));
      const before = (path: string) => (without.has(path) ? without.get(path) : files.read(path));
      await applyChanges(root, files, plan.changes, before, target.url);
      if (obsolete.length > 0) await removeChanges(root, obsolete);
    }
    return { changes, warnings: plan.warnings, reload: changes.length > 0 ? plan.reload : undefined };
  });
}

/** Removes what {@link configureRuntimes} added, or returns what that would change. */
export function removeFromRuntimes(
  runtimes: readonly RuntimeSetup[],
  { root, target, dryRun }: SetupOptions,
): Promise<readonly RuntimeOutcome[]> {
  return forEachRuntime(runtimes, { root, dryRun }, async (runtime, files) => {
    const state = readState(files);
    const plan = runtime.remove(files, state.urls.length > 0 ? state.urls : [target.url]);
    const restored = restoring(plan.changes, files, state);
    const changes = shown(restored, files.read);
    if (!dryRun) await removeChanges(root, restored);
    return { changes, warnings: plan.warnings, reload: plan.reload };
  });
}

function shown(
  changes: readonly FileChange[],
  read: (path: string) => string | undefined,
): readonly ShownChange[] {
  return changes.map(({ path, text }) => ({ path, before: read(path), after: text }));
}
