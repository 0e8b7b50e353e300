import type { Command } from 'commander';
import { helpText } from '../../help-text.ts';
import { addSettings, loadSettings } from '../../settings/load.ts';
import { SERVE_SETTINGS } from '../../settings/table.ts';

const examples = () =>
  helpText(
    [
      ['metahub serve'],
      ['metahub serve --profile host.json --set nvcap:9.0', 'serve for another host'],
      [
        'metahub serve --upstream docker.io=https://harbor.example/v2/hub-proxy --upstream registry.example',
        'pull Docker Hub through a site’s own mirror, and add the site’s own registry',
      ],
      [
        'metahub serve --listen 0.0.0.0:5080 --machines /etc/metahub/machines.d --tls-cert site.crt --tls-key site.key',
        'serve all machines of a site; each machine logs in',
      ],
    ],
    '/etc/metahub/config.yaml can set everything above, and also policies by repository and certificates of upstreams.',
    'On SIGHUP, MetaHub reloads the profile, the image lists, the catalogue, the policies, the webhook, oidc and enrolment. On SIGTERM, it finishes the running pulls and ends.',
  );

/** The data directory when the configuration file cannot be read: from the flag, the variable, or the default. */
function dataWithoutFile({ data }: Readonly<Record<string, unknown>>): string {
  return String(data ?? (process.env['METAHUB_DATA'] || SERVE_SETTINGS.data.fallback()));
}

/** Adds the options and the action of `metahub serve`. */
export function configure(command: Command): void {
  addSettings(command, SERVE_SETTINGS);
  command.addHelpText('after', examples).action(async (flags: Readonly<Record<string, unknown>>) => {
    const [{ runMirror }, { createLastGood }] = await Promise.all([
      import('../../serve/run.ts'),
      import('../../serve/last-good.ts'),
    ]);
    const read = (stronger = {}) => loadSettings(SERVE_SETTINGS, { ...flags, ...stronger });
    await runMirror({ read, lastGood: createLastGood(dataWithoutFile(flags)) });
  });
}
