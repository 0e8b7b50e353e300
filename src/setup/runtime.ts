import type { ConfigFiles } from './files.ts';

/** What the runtimes are to be told. */
export interface MirrorTarget {
  /** `http://127.0.0.1:5080`. */
  readonly url: string;
  /** Registries that go through the mirror: `docker.io`, `ghcr.io`, … */
  readonly registries: readonly string[];
  /** Configure no fallback to the registry itself, where the runtime can. */
  readonly strict: boolean;
}

/** A file as it is to be; undefined: it is to be removed. */
export interface FileChange {
  readonly path: string;
  readonly text: string | undefined;
}

/** What one runtime needs. Nothing has been written yet. */
export interface SetupPlan {
  readonly changes: readonly FileChange[];
  /** What makes the configuration ineffective or incomplete, each a sentence with the remedy. */
  readonly warnings: readonly string[];
  /** Makes the running daemon read the changes; absent when it reads them by itself. */
  readonly reload?: readonly [program: string, ...args: string[]] | undefined;
}

/** One container runtime's configuration. Both methods are pure but for reading `files`. */
export interface RuntimeSetup {
  readonly name: RuntimeSetupName;
  /** Programs of which one shows that the runtime is installed. */
  readonly programs: readonly string[];
  /** @throws {RuntimeConfigError} when an existing file cannot be understood: it is left alone */
  configure(files: ConfigFiles, target: MirrorTarget): SetupPlan;
  /** The same files without what {@link configure} put there, whatever else was edited since. @throws {RuntimeConfigError} */
  remove(files: ConfigFiles, url: string): SetupPlan;
  /** Other mirrors that the runtime asks before this one, which then sees few requests or none. @throws {ConfigError} */
  mirrorsInFront?(files: ConfigFiles, target: MirrorTarget): readonly string[];
}

export const RUNTIME_SETUP_NAMES = ['docker', 'containerd', 'podman', 'cri-o', 'k3s', 'apptainer'] as const;
export type RuntimeSetupName = (typeof RUNTIME_SETUP_NAMES)[number];

/** A runtime's own configuration file cannot be understood. */
export class RuntimeConfigError extends Error {
  readonly path: string;

  constructor(path: string, reason: string, options?: ErrorOptions) {
    super(`${path}: ${reason}`, options);
    this.path = path;
  }
}

/** The API host of a registry, which is not always the host that image names show. */
export function registryUrl(registry: string): string {
  return registry === 'docker.io' ? 'https://registry-1.docker.io' : `https://${registry}`;
}
