import { chmodSync, chownSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Manifest } from './kubernetes-tools.ts';
import type { Workplace } from './workplace.ts';

/** The properties of a pod's container that these tests read. */
export interface PodContainer {
  readonly image: string;
  readonly args: readonly string[];
  readonly env: readonly { readonly name: string; readonly value: string }[];
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly securityContext: {
    readonly runAsUser: number;
    readonly runAsGroup: number;
    readonly readOnlyRootFilesystem: boolean;
    readonly allowPrivilegeEscalation: boolean;
    readonly capabilities: { readonly drop: readonly string[] };
  };
  readonly volumeMounts: readonly {
    readonly name: string;
    readonly mountPath: string;
    readonly readOnly?: boolean;
  }[];
  readonly readinessProbe: Probe;
  readonly livenessProbe: Probe;
  readonly startupProbe: Probe;
}

export interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string };
}

interface Volume {
  readonly name: string;
  readonly emptyDir?: object;
  readonly configMap?: { readonly name: string };
  readonly secret?: {
    readonly secretName: string;
    readonly defaultMode?: number;
    readonly items?: readonly { readonly key: string; readonly path: string }[];
  };
}

export interface Pod {
  readonly automountServiceAccountToken: boolean;
  readonly securityContext: { readonly fsGroup: number };
  readonly containers: readonly PodContainer[];
  readonly volumes: readonly Volume[];
}

/** The pod of the only deployment. */
export function podIn(manifests: readonly Manifest[]): Pod {
  const deployment = manifests.find(({ kind }) => kind === 'Deployment')?.spec;
  return (deployment as { readonly template: { readonly spec: Pod } }).template.spec;
}

type Files = Readonly<Record<string, string>>;

/**
 * Writes files as the kubelet projects them: owned by root, readable for the pod's group, as links through
 * `..data`.
 */
function project(folder: string, files: Files, { mode, group }: { mode: number; group: number }): void {
  const version = join(folder, '..2026_01_01');
  mkdirSync(version, { recursive: true });
  for (const [name, content] of Object.entries(files)) {
    const path = join(version, name);
    writeFileSync(path, content);
    chmodSync(path, mode);
    chownSync(path, 0, group);
    symlinkSync(join('..data', name), join(folder, name));
  }
  symlinkSync('..2026_01_01', join(folder, '..data'));
}

/**
 * The words with which `docker run` starts a pod's only container like the kubelet, with its volumes below the
 * workplace.
 * @param secrets the content of each Secret, by name
 */
export function podArguments(
  workplace: Workplace,
  manifests: readonly Manifest[],
  secrets: Readonly<Record<string, Files>>,
): readonly string[] {
  const { volumes, securityContext: pod, containers } = podIn(manifests);
  const [container] = containers;
  if (container === undefined) throw new Error('the pod has no container');
  const { securityContext: own, volumeMounts, env, image, args } = container;
  const mounts = volumeMounts.flatMap(({ name, mountPath, readOnly = false }) => {
    const volume = volumes.find((one) => one.name === name);
    const folder = workplace.folder(`pod/${name}`);
    if (volume?.emptyDir) {
      chownSync(folder, 0, pod.fsGroup);
      chmodSync(folder, 0o2777);
    } else if (volume?.secret) {
      const { secretName, defaultMode = 0o644, items } = volume.secret;
      const all = secrets[secretName] ?? {};
      const chosen = items?.map(({ key, path }) => [path, all[key] ?? ''] as const) ?? Object.entries(all);
      project(folder, Object.fromEntries(chosen), { mode: defaultMode, group: pod.fsGroup });
    } else {
      const map = manifests.find(
        ({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === volume?.configMap?.name,
      ) as (Manifest & { readonly data: Files }) | undefined;
      project(folder, map?.data ?? {}, { mode: 0o644, group: pod.fsGroup });
    }
    return ['--volume', `${folder}:${mountPath}${readOnly ? ':ro' : ''}`];
  });
  return [
    ...['--user', `${own.runAsUser}:${own.runAsGroup}`, '--group-add', String(pod.fsGroup)],
    ...(own.readOnlyRootFilesystem ? ['--read-only'] : []),
    ...(own.allowPrivilegeEscalation ? [] : ['--security-opt', 'no-new-privileges']),
    ...own.capabilities.drop.flatMap((capability) => ['--cap-drop', capability]),
    ...mounts,
    ...env.flatMap(({ name, value }) => ['--env', `${name}=${value}`]),
    image,
    ...args,
  ];
}
