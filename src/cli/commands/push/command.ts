import { type Command, Option } from 'commander';
import { helpText } from '../../help-text.ts';
import { warningLog } from '../../image-lookup.ts';
import { newPseudonym, openPusher, openUpstream } from '../../open-upstream.ts';
import { addSettings, loadSettings } from '../../settings/load.ts';
import { addTargetOptions, loadTarget, type TargetFlags } from '../../settings/mirror-target.ts';
import { LOOKUP_SETTINGS, SERVE_SETTINGS } from '../../settings/table.ts';
import { readList } from './plan.ts';

const { upstream, publicRegistries } = LOOKUP_SETTINGS;
const PUSH_SETTINGS = { upstream, publicRegistries, listen: SERVE_SETTINGS.listen } as const;

interface PushFlags extends TargetFlags {
  readonly dryRun?: boolean;
  readonly format?: 'docker' | 'oci';
}

const EXAMPLES = helpText(
  [
    ['metahub push manifest.yml', 'assemble the list that the file describes, and push it'],
    ['metahub push --dry-run manifest.yml', 'say what would be done, and print the list'],
    [
      'metahub push --upstream localhost:5000=http://localhost:5000 manifest.yml',
      'to a registry without TLS',
    ],
  ],
  `The file has the form of manifest-tool's:
  image: docker.io/qnib/bench
  manifests:
    - image: docker.io/qnib/plain-featuretest:cpu-skylake
      platform: { architecture: amd64, os: linux, features: [cpu:skylake] }`,
  'Logins are those of docker login. A mirror that runs on this host (--mirror) looks the tags up at once, so that the next pull ' +
    'gets what was pushed.',
);

/** Adds the options and the action of `metahub push`. */
export function configure(command: Command): void {
  command.argument('<file>', 'what the list is called and what is in it (YAML)');
  addSettings(command, PUSH_SETTINGS);
  addTargetOptions(command);
  command
    .option('--dry-run', 'push nothing: say what would be done, and print the list')
    .addOption(
      new Option(
        '--format <format>',
        'a Docker manifest list or an OCI image index; when not said, what its members are',
      ).choices(['docker', 'oci']),
    )
    .addHelpText('after', EXAMPLES)
    .action(push);
}

async function push(file: string, flags: PushFlags): Promise<void> {
  const { values } = await loadSettings(PUSH_SETTINGS, { ...flags });
  const spec = await readList(file);
  const surroundings = { log: warningLog(), pseudonym: newPseudonym() };
  const registry = openUpstream(values, surroundings);
  try {
    const { planPush } = await import('./plan.ts');
    const plan = await planPush(spec, registry, flags.format);
    if (flags.dryRun) {
      const { renderPlan } = await import('./render.ts');
      process.stdout.write(renderPlan(plan));
      return;
    }
    const { executePush } = await import('./execute.ts');
    const { createProgress } = await import('./render.ts');
    const publisher = await openPusher(values, surroundings);
    const progress = createProgress(process.stderr);
    try {
      await executePush(plan, { registry, publisher, progress });
    } finally {
      progress.done();
      await publisher.close();
    }
    const { renderDone } = await import('./render.ts');
    process.stdout.write(renderDone(plan));
    const { tellMirror } = await import('./tell-mirror.ts');
    await tellMirror((await loadTarget(flags)).target.url, plan);
  } finally {
    await registry.close();
  }
}
