import type { Command } from 'commander';
import { printable, wrap } from '../../../lib/text.ts';
import { DOCKER_HUB } from '../../../oci/reference.ts';
import { helpText } from '../../help-text.ts';
import { JsonOption } from '../../json-option.ts';
import { documentText, painted } from '../../output.ts';
import { installedService } from '../../settings/installed-service.ts';
import { addSettings, loadSettings } from '../../settings/load.ts';
import {
  addTargetOptions,
  loadTarget,
  setupCommand,
  TARGET_SETTINGS,
  type TargetFlags,
} from '../../settings/mirror-target.ts';
import { SERVE_SETTINGS } from '../../settings/table.ts';
import { allowedUpstreams, passesOn } from '../../settings/upstreams.ts';
import type { Check, NamedResult } from './check.ts';

interface DoctorFlags extends TargetFlags {
  readonly json?: boolean;
}

const WIDTH = 100;
const MARKS = { pass: ['✓', 'green'], warn: ['!', 'yellow'], fail: ['✗', 'red'] } as const;

const EXAMPLES = helpText(
  [
    ['metahub doctor', 'run every check on this machine'],
    ['metahub doctor --json', 'the same for programs'],
  ],
  'Each check passes, warns or fails; a warning or a failure names a remedy. The check “uses the mirror” makes the runtime look up a tag that only the mirror knows, ' +
    'and verifies that the request arrives at the mirror.',
  'Exit status: 0 every check passed, 1 a check failed, 2 a wrong option, 3 a check warned.',
);

/** Adds the options and the action of `metahub doctor`. */
export function configure(command: Command): void {
  addSettings(command, TARGET_SETTINGS);
  addTargetOptions(command);
  command.addOption(new JsonOption('doctor')).addHelpText('after', EXAMPLES).action(doctor);
}

/** Creates all checks of this machine. None of them runs yet. */
async function checksOf(flags: DoctorFlags): Promise<readonly Check[]> {
  const service = installedService();
  const [{ target, data }, { values, origins }] = await Promise.all([
    loadTarget(flags),
    loadSettings(SERVE_SETTINGS, { ...flags }, service),
  ]);
  const [{ configFilesAt }, { installedRuntimes }, { loadImageCatalog }, { loginFiles }] = await Promise.all([
    import('../../../setup/files.ts'),
    import('../../../setup/runtimes.ts'),
    import('../../settings/image-lists.ts'),
    import('../../open-upstream.ts'),
  ]);
  const [machine, { mirrorChecks }, { runtimeChecks }, upstreams, { createKeychain }, { hostProfile }] =
    await Promise.all([
      import('./machine.ts'),
      import('./mirror.ts'),
      import('./runtimes.ts'),
      import('./upstreams.ts'),
      import('../../../upstream/auth/keychain.ts'),
      import('../../host-profile.ts'),
    ]);
  const files = configFilesAt('/');
  const runtimes = installedRuntimes(files);
  const hasDocker = runtimes.some(({ name }) => name === 'docker');
  const allowed = allowedUpstreams(values);
  const now = () => Date.now();
  const environment = service?.environment ?? process.env;
  const { given } = loginFiles(process.env);
  const lists = () => loadImageCatalog(values.images, { mayBeAbsent: origins.images === 'default' });
  const claimed = async () => (await hostProfile(values)).features;
  return [
    ...mirrorChecks(target.url),
    ...upstreams.upstreamChecks({
      upstreams: upstreams.upstreamsToCheck(values.upstream, allowed),
      environment,
      credentials: createKeychain({ files: given, warn: () => {} }),
      now,
    }),
    machine.proxyCheck(environment, process.env),
    ...(values.tlsCert === undefined ? [] : [machine.ownCertificateCheck(values.tlsCert, now)]),
    machine.credentialsCheck(given, service !== undefined),
    machine.diskCheck(data),
    machine.featuresCheck(lists, claimed),
    ...runtimeChecks(runtimes, { files, target, setup: (runtime) => setupCommand(runtime, flags) }),
    ...(hasDocker ? [machine.DOCKER_LEVELS_CHECK] : []),
    ...(hasDocker && passesOn(allowed.get(DOCKER_HUB)) ? [machine.DOCKER_LOGIN_CHECK] : []),
  ];
}

async function doctor(flags: DoctorFlags): Promise<void> {
  const { runChecks } = await import('./check.ts');
  const results = await runChecks(await checksOf(flags));
  const text = flags.json ? documentText<'doctor'>({ checks: results }) : results.map(renderCheck).join('');
  process.stdout.write(text);
  const has = (status: NamedResult['status']) => results.some((result) => result.status === status);
  if (has('fail')) process.exitCode = 1;
  else if (has('warn')) process.exitCode = 3;
}

function renderCheck(result: NamedResult): string {
  const [mark, colour] = MARKS[result.status];
  const lines = wrap(`${result.name}: ${printable(result.message)}`, WIDTH);
  const remedy = result.status === 'pass' ? [] : wrap(printable(result.remedy), WIDTH);
  return `${painted(mark, colour)} ${[...lines, ...remedy].join('\n    ')}\n`;
}
