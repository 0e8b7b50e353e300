import type { ConfigFiles } from './files.ts';

/** The settings for the runtimes. */
export interface MirrorTarget {
  /** `http://127.0.0.1:5080`. */
  readonly url: string;
  /** Registries to pull through the mirror: `docker.io`, `ghcr.io`, … */
  readonly registries: readonly string[];
  /** Configure no fallback to the registry itself, if the runtime can do without. */
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
  /** What makes the configuration ineffective or incomplete: sentences, each with the remedy. */
  readonly warnings: readonly string[];
  /** Makes the running daemon read the changes; absent when it does so itself. */
  readonly reload?: readonly [program: string, ...args: string[]] | undefined;
}

/** One container runtime's configuration. Both methods are pure, except that they read `files`. */
export interface RuntimeSetup {
  readonly name: RuntimeSetupName;
  /** Programs that show that the runtime is installed: any of them. */
  readonly programs: readonly string[];
  /** @throws {RuntimeConfigError} when an existing file cannot be parsed: it is left alone */
  configure(files: ConfigFiles, target: MirrorTarget): SetupPlan;
  /**
   * The same files without what {@link configure} added, whatever else was edited since. @throws {RuntimeConfigError}
   */
  remove(files: ConfigFiles, url: string): SetupPlan;
  /**
   * Other mirrors that the runtime uses before this one, which then gets few requests or none. @throws {ConfigError}
   */
  mirrorsInFront?(files: ConfigFiles, target: MirrorTarget): readonly string[];
}

export const RUNTIME_SETUP_NAMES = ['docker', 'containerd', 'podman', 'cri-o', 'k3s', 'apptainer'] as const;
export type RuntimeSetupName = (typeof RUNTIME_SETUP_NAMES)[number];

/** A runtime's own configuration file cannot be parsed. */
export class RuntimeConfigError extends Error {
  readonly path: string;

  constructor(path: string, reason: string, options?: ErrorOptions) {
    super(`${path}: ${reason}`, options);
    this.path = path;
  }
}

/** The API host of a registry, which is not always the host in image names. */
export function registryUrl(registry: string): string {
  return registry === 'docker.io' ? 'https://registry-1.docker.io' : `https://${registry}`;
}
