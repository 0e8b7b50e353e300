import { statfs } from 'node:fs/promises';
import { parseProfile } from '../../../host/profile-json.ts';
import { profileKey } from '../../../host/profile-key.ts';
import { fetchStatus, reasonOf } from '../../mirror-status.ts';
import { VERSION } from '../../version.ts';
import { type Check, fail, pass, warn } from './check.ts';

const START = 'Start it: systemctl start metahub (or metahub serve), and look at journalctl -u metahub.';
/** kubelet evicts pods below this share of free space. */
const FREE_MIN = 0.15;

export function mirrorChecks(url: string, dataFolder: string): readonly Check[] {
  return [
    {
      name: 'mirror',
      run: async (signal) => {
        try {
          const { version } = await fetchStatus(url, signal);
          return version === VERSION
            ? pass(`MetaHub ${version} answers at ${url}`)
            : warn(
                `MetaHub ${version} answers at ${url}; ${VERSION} is installed`,
                'Run: systemctl restart metahub',
              );
        } catch (error) {
          return fail((error as Error).message, START);
        }
      },
    },
    {
      name: 'profile',
      run: async (signal) => {
        const { detectHost } = await import('../../detect-host.ts');
        const { profile: detected } = await detectHost({ signal });
        const status = await fetchStatus(url, signal).catch(() => undefined);
        if (status === undefined) return fail('the mirror does not say which host it serves', START);
        if (status.profile === undefined) return pass('the mirror serves machine types, not this host');
        const served = parseProfile(status.profile);
        return profileKey(served) === profileKey(detected)
          ? pass(`the mirror serves this host: cpu:${detected.cpu.microarchitecture}`)
          : warn(
              `the mirror serves cpu:${served.cpu.microarchitecture}, and its features differ from those of this host (cpu:${detected.cpu.microarchitecture})`,
              'If you did not choose that (--set, --profile): systemctl restart metahub-detect && systemctl reload metahub',
            );
      },
    },
    {
      name: 'upstream',
      run: async (signal) => {
        const response = await fetch(`${url}/v2/library/hello-world/manifests/latest`, {
          method: 'HEAD',
          signal,
        }).catch((error: unknown) => reasonOf(error));
        if (typeof response === 'string') return fail(`the mirror did not answer: ${response}`, START);
        if (response.ok) return pass('Docker Hub can be reached through the mirror');
        const hint =
          'Look at journalctl -u metahub: a proxy (HTTPS_PROXY), a certificate or an upstream may be missing.';
        return warn(`Docker Hub cannot be reached through the mirror: it answers ${response.status}`, hint);
      },
    },
    {
      name: 'disk',
      run: async () => {
        const { bavail, blocks } = await statfs(dataFolder).catch(() => statfs('/'));
        const free = blocks === 0 ? 1 : Number(bavail) / Number(blocks);
        const percent = `${Math.round(free * 100)} % free where the cache is`;
        return free >= FREE_MIN
          ? pass(percent)
          : warn(percent, 'Make room, or lower --cache-size: kubelet evicts pods below 15 %.');
      },
    },
  ];
}
