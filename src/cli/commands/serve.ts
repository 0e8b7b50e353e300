import type { Command } from 'commander';
import { addSettings, loadSettings } from '../load-settings.ts';
import { SERVE_SETTINGS } from '../serve-settings.ts';

const EXAMPLES = `
Examples:
  metahub serve
  metahub serve --upstream docker.io=https://harbor.example/v2/hub-proxy --upstream registry.example
  metahub serve --profile host.json --set nvcap:9.0
  metahub serve --listen 0.0.0.0:5080 --machines /etc/metahub/machines.d --tls-cert site.crt --tls-key site.key

Policies by repository, certificates of upstreams, and everything above can be set in /etc/metahub/config.yaml.
SIGHUP reads profile, lists of images and policies again; SIGTERM lets running pulls finish.`;

/** Adds the options and the action of `metahub serve`. */
export function configure(command: Command): void {
  addSettings(command, SERVE_SETTINGS);
  command.addHelpText('after', EXAMPLES).action(async (flags: Readonly<Record<string, unknown>>) => {
    const reread = () => loadSettings(SERVE_SETTINGS, flags);
    const settings = await reread();
    const { runMirror } = await import('../run-mirror.ts');
    await runMirror({ settings, reread });
  });
}
