import type { ConfigFiles } from './files.ts';

/** The settings for the runtimes. */
export interface MirrorTarget {
  /** `http://127.0.0.1:5080`. */
  readonly url: string;
  /** Registries to pull through the mirror: `docker.io`, `ghcr.io`, … */
  readonly registries: readonly string[];
  /** Configure no fallback to the registry itself, if the runtime does not need one. */
  readonly strict: boolean;
}

/** A file's new content; undefined: remove the file. */
export interface FileChange {
  readonly path: string;
  readonly text: string | undefined;
}

/** The changes for one runtime. Nothing has been written yet. */
export interface SetupPlan {
  readonly changes: readonly FileChange[];
  /** The files of registries that are no longer mirrored, without the additions of setup. */
  readonly obsolete?: readonly FileChange[];
  /** Problems that make the configuration ineffective or incomplete: sentences, each with its remedy. */
  readonly warnings: readonly string[];
  /** The command that makes the running daemon read the changes; absent when it reads them on its own. */
  readonly reload?: readonly [program: string, ...args: string[]] | undefined;
}

/** The configuration of one container runtime. The methods read only `files`, and write nothing. */
export interface RuntimeSetup {
  readonly name: RuntimeSetupName;
  /** Programs that show that the runtime is installed; any of them suffices. */
  readonly programs: readonly string[];
  /**
   * @param formerUrls where the mirror was, as earlier runs of setup wrote it
   * @throws {RuntimeConfigError} when an existing file cannot be parsed: it is left alone
   */
  configure(files: ConfigFiles, target: MirrorTarget, formerUrls?: readonly string[]): SetupPlan;
  /**
   * Returns the same files without the additions of {@link configure}. Keeps other edits since then.
   * @throws {RuntimeConfigError}
   */
  remove(files: ConfigFiles, urls: readonly string[]): SetupPlan;
  /**
   * Returns the other mirrors that the runtime asks before this one, which then gets few requests or none.
   * @throws {ConfigError}
   */
  mirrorsInFront?(files: ConfigFiles, target: MirrorTarget): readonly string[];
}

export const RUNTIME_SETUP_NAMES = ['docker', 'containerd', 'podman', 'cri-o', 'k3s', 'apptainer'] as const;
export type RuntimeSetupName = (typeof RUNTIME_SETUP_NAMES)[number];

/** The configuration file of a runtime cannot be parsed. */
export class RuntimeConfigError extends Error {
  readonly path: string;

  constructor(path: string, reason: string, options?: ErrorOptions) {
    super(`${path}: ${reason}`, options);
    this.path = path;
  }
}

/** Returns the API's URL of a registry, whose host is not always the one in image names. */
export function registryUrl(registry: string): string {
  return registry === 'docker.io' ? 'https://registry-1.docker.io' : `https://${registry}`;
}
