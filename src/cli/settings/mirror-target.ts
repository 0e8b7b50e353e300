import type { Command } from 'commander';
import type { MirrorTarget } from '../../setup/runtime.ts';
import { UserError } from '../user-error.ts';
import { installedService } from './installed-service.ts';
import { loadSettings } from './load.ts';
import { SERVE_SETTINGS } from './table.ts';
import { allowedUpstreams } from './upstreams.ts';
import { formatListen, type ListenAddress } from './values.ts';

/** The settings that determine where the mirror is and what it serves. */
export const TARGET_SETTINGS = {
  listen: SERVE_SETTINGS.listen,
  data: SERVE_SETTINGS.data,
  upstream: SERVE_SETTINGS.upstream,
  publicRegistries: SERVE_SETTINGS.publicRegistries,
} as const;

export interface TargetFlags {
  readonly mirror?: string;
  readonly strict?: boolean;
}

/** Returns the command that configures a runtime for the mirror that the flags name. */
export function setupCommand(runtime: string, { mirror }: TargetFlags): string {
  return `metahub setup ${runtime} --reload${mirror === undefined ? '' : ` --mirror ${mirror}`}`;
}

export function addTargetOptions(command: Command): void {
  command.option(
    '--mirror <url>',
    'the URL at which runtimes reach the mirror: http://127.0.0.1:5080; default: the address that the mirror listens on',
  );
}

/** Returns the URL by which this machine reaches a mirror with this listening address. */
function urlOf(listen: ListenAddress): string {
  const isAny = listen.host === '0.0.0.0' || listen.host === '::';
  return `http://${formatListen(isAny ? { ...listen, host: '127.0.0.1' } : listen)}`;
}

function readMirror(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.href !== `${url.origin}/`) {
    throw new UserError(`--mirror ${text} is not of the form http://HOST:PORT`, { exitStatus: 2 });
  }
  return url.origin;
}

/**
 * Loads the mirror that a command is about, from its flags and the settings of `serve`.
 * @throws {UserError} status 2
 */
export async function loadTarget(
  flags: TargetFlags,
): Promise<{ readonly target: MirrorTarget; readonly data: string }> {
  const { values } = await loadSettings(
    TARGET_SETTINGS,
    flags as Readonly<Record<string, unknown>>,
    installedService(),
  );
  const target = {
    url: flags.mirror === undefined ? urlOf(values.listen) : readMirror(flags.mirror),
    registries: [...allowedUpstreams(values).keys()],
    strict: flags.strict === true,
  };
  return { target, data: values.data };
}
