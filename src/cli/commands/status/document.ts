import * as v from 'valibot';
import { configFilesAt } from '../../../setup/files.ts';
import { type MirrorTarget, RUNTIME_SETUP_NAMES, type RuntimeSetupName } from '../../../setup/runtime.ts';
import { installedRuntimes, planInForce } from '../../../setup/runtimes.ts';
import { fetchStatus, MIRROR_STATUS, type MirrorStatus } from '../../mirror-status.ts';

/** The output of `metahub status --json`. `npm run schemas` writes its JSON Schema. */
export const STATUS = v.object({
  url: v.pipe(v.string(), v.description('the URL of the mirror')),
  installed: v.pipe(
    v.array(
      v.object({
        runtime: v.picklist(RUNTIME_SETUP_NAMES),
        configured: v.pipe(
          v.nullable(v.boolean()),
          v.description(
            'true: the files of the runtime name the mirror; null: MetaHub cannot read or understand them',
          ),
        ),
        lastSuccess: v.pipe(
          v.nullable(v.pipe(v.string(), v.isoTimestamp())),
          v.description(
            'when the runtime last got content through the mirror; null: not since the mirror started',
          ),
        ),
      }),
    ),
    v.description('the runtimes of this machine'),
  ),
  ...MIRROR_STATUS.entries,
});

export type Status = v.InferOutput<typeof STATUS>;

/** The names under which the mirror counts the clients of a runtime. */
const CLIENTS: Readonly<Record<RuntimeSetupName, readonly string[]>> = {
  docker: ['dockerd', 'buildkit'],
  containerd: ['containerd', 'buildkit'],
  podman: ['podman', 'buildah', 'skopeo', 'containers-image'],
  'cri-o': ['cri-o'],
  k3s: ['containerd'],
  apptainer: ['apptainer'],
};

function isConfigured(...[runtime, files, target]: Parameters<typeof planInForce>): boolean | null {
  try {
    return planInForce(runtime, files, target) !== undefined;
  } catch {
    return null; // doctor says what is wrong with the file
  }
}

/**
 * Returns the runtimes of this machine: whether their configuration names the mirror, and whether they have
 * pulled through it.
 */
function installedHere(target: MirrorTarget, { runtimes }: MirrorStatus): Status['installed'] {
  const files = configFilesAt('/');
  return installedRuntimes(files).map((runtime) => {
    const times = runtimes
      .filter((one) => CLIENTS[runtime.name].includes(one.runtime))
      .map(({ lastSuccess }) => lastSuccess);
    return {
      runtime: runtime.name,
      configured: isConfigured(runtime, files, target),
      lastSuccess: times.sort().at(-1) ?? null,
    };
  });
}

/**
 * Asks the mirror, and reads the configuration of this machine's runtimes. @throws {UserError} when no mirror
 * answers
 */
export async function readStatus(target: MirrorTarget): Promise<Status> {
  const mirror = await fetchStatus(target.url);
  return { url: target.url, installed: installedHere(target, mirror), ...mirror };
}
