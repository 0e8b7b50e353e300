import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { formatReference } from '../../../oci/reference.ts';
import { GAPS_PATH } from '../../../server/pages.ts';
import { helpText } from '../../help-text.ts';
import { parseImage } from '../../image-lookup.ts';
import { JsonOption } from '../../json-option.ts';
import { addSettings, loadSettings } from '../../settings/load.ts';
import {
  addTargetOptions,
  loadTarget,
  TARGET_SETTINGS,
  type TargetFlags,
} from '../../settings/mirror-target.ts';
import { LOOKUP_SETTINGS } from '../../settings/table.ts';
import type { SiteFlags } from '../../site-api.ts';
import { UserError } from '../../user-error.ts';
import { withSiteOptions } from '../machine/admin.ts';
import type { RankedGap } from './rank.ts';

const GAPS_SETTINGS = { ...LOOKUP_SETTINGS, ...TARGET_SETTINGS } as const;
const FORMATS = ['text', 'json', 'github-matrix', 'gitlab', 'bake', 'manifest'] as const;
type Format = (typeof FORMATS)[number];

interface GapsFlags extends TargetFlags, SiteFlags {
  readonly offline?: boolean;
  readonly all?: boolean;
  readonly format?: Format;
  readonly json?: boolean;
}

const EXAMPLES = helpText(
  [
    ['metahub gaps', 'list the builds that would fit the hosts of this mirror better, the most wanted first'],
    ['metahub gaps qnib/bench:latest --format github-matrix', 'print a build matrix for fromJSON'],
    [
      'metahub gaps qnib/bench:latest --format manifest > bench.yml',
      'write a list; push it after the builds: metahub push bench.yml',
    ],
    [
      'metahub gaps --site hub.example.org --user qnib',
      'list the gaps of all mirrors of a site: all to an administrator, to other accounts those of images that they may push',
    ],
    [
      'metahub gaps --offline --data /var/cache/metahub',
      'read what the mirror saved on its disk, also for a site',
    ],
  ],
  'PULLS counts answers to the tag. HOSTS counts the kinds of hosts that got them. The product of both gives the order. SPEED is what metahub bench measured ' +
    'for a build for the same hardware.',
  'Exit status: 0 printed, 1 no mirror answers or the image could not be fetched, 2 a wrong option.',
);

/** Adds the options and the action of `metahub gaps`. */
export function configure(command: Command): void {
  command.argument('[image]', 'limit the list to this image: qnib/bench:latest');
  addSettings(command, GAPS_SETTINGS);
  addTargetOptions(command);
  withSiteOptions(command)
    .addOption(
      command
        .createOption(
          '--offline',
          'read what the mirror saved in its data directory; this can be one minute old',
        )
        .conflicts(['site', 'mirror']),
    )
    .option('--all', 'include images without hardware demands')
    .addOption(
      command.createOption('--format <format>', 'print in this format').choices(FORMATS).conflicts('json'),
    )
    .addOption(new JsonOption('gaps-ranked', { note: 'the same as --format json' }))
    .addHelpText('after', EXAMPLES)
    .action(gaps);
}

async function gaps(written: string | undefined, flags: GapsFlags): Promise<void> {
  const format = flags.format ?? (flags.json ? 'json' : 'text');
  const image = written === undefined ? undefined : parseImage(written);
  const name = image && formatReference(image.repository, image.reference);
  if (format === 'manifest' && image === undefined) {
    throw new UserError('--format manifest is about one image', {
      nextStep: 'Name it: metahub gaps IMAGE --format manifest',
      exitStatus: 2,
    });
  }
  const [{ rankGaps }, { readResults }, render] = await Promise.all([
    import('./rank.ts'),
    import('../../benchmark-results.ts'),
    import('./render.ts'),
  ]);
  const { target, data } = await loadTarget(flags);
  const recorded =
    flags.site === undefined
      ? await recordedGaps(target.url, data, flags.offline === true)
      : await gapsOfSite(flags);
  const results = await readResults(data).catch(() => []);
  const shown = rankGaps(recorded, results, { image: name, all: flags.all === true });
  const hidden =
    name === undefined
      ? rankGaps(recorded, results, { image: undefined, all: true }).length - shown.length
      : 0;
  process.stdout.write(await rendered());

  async function rendered(): Promise<string> {
    switch (format) {
      case 'text':
        return render.renderText(shown, hidden);
      case 'json':
        return render.renderJson(shown);
      case 'github-matrix':
        return render.renderGithubMatrix(shown);
      case 'gitlab':
        return render.renderGitlab(shown);
      case 'bake':
        return render.renderBake(shown);
      case 'manifest':
        return manifestOf(name ?? '', shown, flags);
    }
  }
}

async function gapsOfSite(flags: GapsFlags) {
  const [{ SiteApi }, { GAP }] = await Promise.all([
    import('../../site-api.ts'),
    import('../../../selection/gap-schema.ts'),
  ]);
  const api = await SiteApi.open(flags);
  return api.list('/gaps', 'gaps', GAP);
}

async function recordedGaps(url: string, data: string, offline: boolean) {
  if (!offline) {
    const [{ fetchDocument }, { GAPS }] = await Promise.all([
      import('../../mirror-status.ts'),
      import('../../../selection/gap-schema.ts'),
    ]);
    return (await fetchDocument(url, GAPS_PATH, GAPS)).gaps;
  }
  const { readGaps } = await import('../../gap-file.ts');
  if (!existsSync(data)) {
    throw new UserError(`there is no directory ${data}`, { nextStep: 'Name the mirror’s --data directory.' });
  }
  try {
    return await readGaps(data);
  } catch (cause) {
    throw new UserError(`the record of gaps in ${data} cannot be read: ${(cause as Error).message}`, {
      cause,
    });
  }
}

async function manifestOf(name: string, shown: readonly RankedGap[], flags: GapsFlags): Promise<string> {
  const [{ readSubject }, { renderManifest }] = await Promise.all([
    import('../explain/load.ts'),
    import('./render.ts'),
  ]);
  const settings = await loadSettings(LOOKUP_SETTINGS, { ...flags });
  const { source } = await readSubject(name, {}, settings, []);
  if (source.document.kind !== 'index') {
    throw new UserError(`${name} is one image, not an index: a list cannot extend it`, {
      nextStep: 'Push it under another tag, and write a list that contains it.',
    });
  }
  return renderManifest(parseImage(name), source.document.entries, shown);
}
