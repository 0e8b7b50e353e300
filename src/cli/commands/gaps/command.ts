import type { Command } from 'commander';
import { formatReference } from '../../../oci/reference.ts';
import { GAPS_PATH } from '../../../server/pages.ts';
import { helpText } from '../../help-text.ts';
import { parseImage } from '../../image-lookup.ts';
import { addSettings, loadSettings } from '../../settings/load.ts';
import {
  addTargetOptions,
  loadTarget,
  TARGET_SETTINGS,
  type TargetFlags,
} from '../../settings/mirror-target.ts';
import { LOOKUP_SETTINGS } from '../../settings/table.ts';
import { UserError } from '../../user-error.ts';
import type { RankedGap } from './rank.ts';

const GAPS_SETTINGS = { ...LOOKUP_SETTINGS, ...TARGET_SETTINGS } as const;
const FORMATS = ['text', 'json', 'github-matrix', 'gitlab', 'bake', 'manifest'] as const;
type Format = (typeof FORMATS)[number];

interface GapsFlags extends TargetFlags {
  readonly offline?: boolean;
  readonly all?: boolean;
  readonly format?: string;
  readonly json?: boolean;
}

const EXAMPLES = helpText(
  [
    ['metahub gaps', 'which builds the pulls of this mirror asked for, the most wanted first'],
    ['metahub gaps qnib/bench:latest --format github-matrix', 'a build matrix for fromJSON'],
    [
      'metahub gaps qnib/bench:latest --format manifest > bench.yml',
      'then, after the builds: metahub push bench.yml',
    ],
    [
      'metahub gaps --offline --data /var/cache/metahub',
      'what the mirror has written to its disk, also that of a site',
    ],
  ],
  'PULLS counts answers to the tag, HOSTS kinds of hosts that got them; the order is by their product. SPEED is what metahub bench measured ' +
    'of a build for the same hardware.',
  'Exit status: 0 printed, 1 no mirror answers or the image could not be had, 2 a wrong option.',
);

/** Adds the options and the action of `metahub gaps`. */
export function configure(command: Command): void {
  command.argument('[image]', 'only this one: qnib/bench:latest');
  addSettings(command, GAPS_SETTINGS);
  addTargetOptions(command);
  command
    .option('--offline', 'read what the mirror last wrote to its data directory, up to a minute ago')
    .option('--all', 'also of images of which no entry demands hardware')
    .option('--format <format>', FORMATS.join(', '))
    .option('--json', 'the same as --format json')
    .addHelpText('after', EXAMPLES)
    .action(gaps);
}

function readFormat({ format, json }: GapsFlags): Format {
  const known = FORMATS.find((name) => name === (format ?? (json ? 'json' : 'text')));
  if (known !== undefined) return known;
  throw new UserError(`--format ${format} is none of ${FORMATS.join(', ')}`, { exitStatus: 2 });
}

async function gaps(written: string | undefined, flags: GapsFlags): Promise<void> {
  const format = readFormat(flags);
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
  const recorded = await recordedGaps(target.url, data, flags.offline === true);
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

async function recordedGaps(url: string, data: string, offline: boolean) {
  if (!offline) {
    const [{ fetchDocument }, { GAPS }] = await Promise.all([
      import('../../mirror-status.ts'),
      import('../../gap-schema.ts'),
    ]);
    return (await fetchDocument(url, GAPS_PATH, GAPS)).gaps;
  }
  const { readGaps } = await import('../../gap-file.ts');
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
    throw new UserError(`${name} is one image, not an index: a list cannot go on from it`, {
      nextStep: 'Push it under a tag of its own, and write a list that names it.',
    });
  }
  return renderManifest(parseImage(name), source.document.entries, shown);
}
