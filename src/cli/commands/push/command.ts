import { type Command, Option } from 'commander';
import { CHECK_HEADERS } from '../../../lib/http.ts';
import { helpText } from '../../help-text.ts';
import { warningLog } from '../../image-lookup.ts';
import { newPseudonym, openPusher, openUpstream } from '../../open-upstream.ts';
import { addSettings, loadSettings } from '../../settings/load.ts';
import { addTargetOptions, loadTarget, type TargetFlags } from '../../settings/mirror-target.ts';
import { LOOKUP_SETTINGS, SERVE_SETTINGS } from '../../settings/table.ts';
import { type PushPlan, readList } from './plan.ts';

const { upstream, publicRegistries } = LOOKUP_SETTINGS;
const PUSH_SETTINGS = { upstream, publicRegistries, listen: SERVE_SETTINGS.listen } as const;

interface PushFlags extends TargetFlags {
  readonly dryRun?: boolean;
  readonly format?: 'docker' | 'oci';
}

const EXAMPLES = helpText(
  [
    ['metahub push manifest.yml', 'assemble the list that the file describes, and push it'],
    ['metahub push --dry-run manifest.yml', 'print the list and the steps, without pushing'],
    [
      'metahub push --upstream localhost:5000=http://localhost:5000 manifest.yml',
      'push to a registry without TLS',
    ],
  ],
  `The file has the form of manifest-tool's:
  image: docker.io/qnib/bench
  manifests:
    - image: docker.io/qnib/plain-featuretest:cpu-skylake
      platform: { architecture: amd64, os: linux, features: [cpu:skylake] }`,
  'push uses the logins of docker login. A mirror on this host (--mirror) looks the tags up at once, so that the next pull ' +
    'gets the pushed list.',
  'Exit status: 0 pushed, 1 a registry failed, 2 a wrong option or file, 3 pushed, but the mirror that --mirror names does not answer.',
);

/** Adds the options and the action of `metahub push`. */
export function configure(command: Command): void {
  command.argument('<file>', 'the name and the members of the list (YAML)');
  addSettings(command, PUSH_SETTINGS);
  addTargetOptions(command);
  command
    .option('--dry-run', 'print the list and the steps, without pushing')
    .addOption(
      new Option(
        '--format <format>',
        'push a Docker manifest list or an OCI image index; default: the format of the members',
      ).choices(['docker', 'oci']),
    )
    .addHelpText('after', EXAMPLES)
    .action(push);
}

async function push(file: string, flags: PushFlags): Promise<void> {
  const { values } = await loadSettings(PUSH_SETTINGS, { ...flags });
  const { target } = await loadTarget(flags);
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
    const reached = await refreshTags(target.url, plan);
    if (reached || flags.mirror === undefined) return;
    process.stderr.write(
      `metahub: no mirror answers at ${target.url}: it learns of the new list only after its --tag-max-age\n`,
    );
    process.exitCode = 3;
  } finally {
    await registry.close();
  }
}

const MIRROR_TIMEOUT_MS = 5000;

/**
 * Makes a mirror look up the pushed tags again, which it would otherwise trust for `--tag-max-age`. Resolves with false
 * when none answers. A mirror that does not serve this registry has no tag to forget.
 */
async function refreshTags(url: string, { repository, tags, index }: PushPlan): Promise<boolean> {
  const answers = tags.map((tag) =>
    fetch(`${url}/v2/${repository.host}/${repository.name}/manifests/${tag}`, {
      method: 'HEAD',
      headers: { ...CHECK_HEADERS, accept: index.mediaType, 'cache-control': 'no-cache' },
      redirect: 'manual',
      signal: AbortSignal.timeout(MIRROR_TIMEOUT_MS),
    }),
  );
  return (await Promise.allSettled(answers)).every(({ status }) => status === 'fulfilled');
}
