import type { Command } from 'commander';
import { helpText } from '../../help-text.ts';
import { addSettings, loadSettings } from '../../settings/load.ts';
import { SERVE_SETTINGS } from '../../settings/table.ts';

const EXAMPLES = helpText(
  [
    ['metahub serve'],
    ['metahub serve --profile host.json --set nvcap:9.0', 'for another host than this one'],
    [
      'metahub serve --upstream docker.io=https://harbor.example/v2/hub-proxy --upstream registry.example',
      'by way of a site’s own mirror, and with a registry of its own',
    ],
    [
      'metahub serve --listen 0.0.0.0:5080 --machines /etc/metahub/machines.d --tls-cert site.crt --tls-key site.key',
      'for a whole site, whose machines log in',
    ],
  ],
  'Policies by repository, certificates of upstreams, and everything above can be set in /etc/metahub/config.yaml.',
  'SIGHUP reads profile, lists of images and policies again; SIGTERM lets running pulls finish.',
);

/** The data directory by what is known when the configuration file cannot be read. */
function dataWithoutFile({ data }: Readonly<Record<string, unknown>>): string {
  return String(data ?? (process.env['METAHUB_DATA'] || SERVE_SETTINGS.data.fallback()));
}

/** Adds the options and the action of `metahub serve`. */
export function configure(command: Command): void {
  addSettings(command, SERVE_SETTINGS);
  command.addHelpText('after', EXAMPLES).action(async (flags: Readonly<Record<string, unknown>>) => {
    const [{ runMirror }, { createLastGood }] = await Promise.all([
      import('../../serve/run.ts'),
      import('../../serve/last-good.ts'),
    ]);
    const read = (stronger = {}) => loadSettings(SERVE_SETTINGS, { ...flags, ...stronger });
    await runMirror({ read, lastGood: createLastGood(dataWithoutFile(flags)) });
  });
}
