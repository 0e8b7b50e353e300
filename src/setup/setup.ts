import { applyChanges, readState, removeChanges, restoredText } from './apply.ts';
import { configFilesAt } from './files.ts';
import type { FileChange, MirrorTarget, RuntimeSetup, RuntimeSetupName, SetupPlan } from './runtime.ts';

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
async function attempt(runtime: RuntimeSetup, work: () => Promise<RuntimeOutcome>): Promise<RuntimeOutcome> {
  try {
    return await work();
  } catch (error) {
    return {
      runtime: runtime.name,
      changes: [],
      warnings: [],
      reload: undefined,
      error: (error as Error).message,
    };
  }
}

/** Configures the runtimes to pull through the mirror, or says what that would change. */
export async function configureRuntimes(
  runtimes: readonly RuntimeSetup[],
  { root, target, dryRun }: SetupOptions,
): Promise<readonly RuntimeOutcome[]> {
  const outcomes: RuntimeOutcome[] = [];
  for (const runtime of runtimes) {
    const files = configFilesAt(root);
    outcomes.push(
      await attempt(runtime, async () => {
        const plan = runtime.configure(files, target);
        const changes = shown(plan.changes, files.read);
        if (!dryRun) {
          const known = readState(files).url ?? target.url;
          const without = new Map(runtime.remove(files, known).changes.map(({ path, text }) => [path, text]));
          const before = (path: string) => (without.has(path) ? without.get(path) : files.read(path));
          await applyChanges(root, files, plan.changes, before, target.url);
        }
        return {
          runtime: runtime.name,
          changes,
          warnings: plan.warnings,
          reload: changes.length > 0 ? plan.reload : undefined,
        };
      }),
    );
  }
  return outcomes;
}

/** Takes out what {@link configureRuntimes} put in, or says what that would change. */
export async function removeFromRuntimes(
  runtimes: readonly RuntimeSetup[],
  { root, target, dryRun }: SetupOptions,
): Promise<readonly RuntimeOutcome[]> {
  const outcomes: RuntimeOutcome[] = [];
  for (const runtime of runtimes) {
    const files = configFilesAt(root);
    outcomes.push(
      await attempt(runtime, async () => {
        const plan = runtime.remove(files, readState(files).url ?? target.url);
        const restored = plan.changes.map(
          ({ path, text }): FileChange => ({ path, text: restoredText(files, path, text) }),
        );
        const changes = shown(restored, files.read);
        if (!dryRun) await removeChanges(root, files, plan.changes);
        return { runtime: runtime.name, changes, warnings: plan.warnings, reload: plan.reload };
      }),
    );
  }
  return outcomes;
}

function shown(
  changes: readonly FileChange[],
  read: (path: string) => string | undefined,
): readonly ShownChange[] {
  return changes.map(({ path, text }) => ({ path, before: read(path), after: text }));
}
