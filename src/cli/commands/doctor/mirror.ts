import { parseProfile } from '../../../host/profile-json.ts';
import { profileKey } from '../../../host/profile-key.ts';
import { CHECK_HEADERS } from '../../../lib/http.ts';
import { fetchStatus, reasonOf } from '../../mirror-status.ts';
import { VERSION } from '../../version.ts';
import { type Check, fail, pass, warn } from './check.ts';

const START = 'Start it: systemctl start metahub (or metahub serve), and look at journalctl -u metahub.';
const LOOK = 'See the checks “REGISTRY: reached”, and journalctl -u metahub.';
const ACCEPT = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ');

/** Returns why a registry refused a request, in the words of its answer. */
async function said(answer: Response): Promise<string> {
  const text = (await answer.text()).slice(0, 4096);
  try {
    return JSON.parse(text).errors[0].message;
  } catch {
    return `status ${answer.status}`;
  }
}

/** Returns the checks of the mirror at `url`: it answers, has this version, and delivers a pull. */
export function mirrorChecks(url: string): readonly Check[] {
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
      name: 'pull',
      run: async (signal) => {
        const hello = `${url}/v2/library/hello-world`;
        const answer = await fetch(`${hello}/manifests/latest`, {
          signal,
          headers: { ...CHECK_HEADERS, accept: ACCEPT },
        }).catch((error: unknown) => reasonOf(error));
        if (typeof answer === 'string') return fail(`the mirror did not answer: ${answer}`, START);
        if (answer.status === 404) return pass('the mirror answers; there is no library/hello-world to pull');
        if (answer.status === 401)
          return pass('the mirror answers; it is a site, and delivers only to logins');
        if (!answer.ok)
          return warn(`library/hello-world cannot be pulled through the mirror: ${await said(answer)}`, LOOK);
        const digest = answer.headers.get('docker-content-digest');
        await answer.body?.cancel();
        const again = await fetch(`${hello}/manifests/${digest}`, { signal, headers: { accept: ACCEPT } });
        await again.body?.cancel();
        return again.ok
          ? pass('the mirror resolves library/hello-world and delivers what it announced')
          : fail(`the mirror announced ${digest} and does not deliver it (status ${again.status})`, LOOK);
      },
    },
  ];
}
