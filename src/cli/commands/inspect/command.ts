import type { Command } from 'commander';
import { parseManifestDocument } from '../../../oci/manifest.ts';
import { formatReference } from '../../../oci/reference.ts';
import { helpText } from '../../help-text.ts';
import { lookupFailure, parseImage, withRegistry } from '../../image-lookup.ts';
import { JsonOption } from '../../json-option.ts';
import { addSettings, loadSettings } from '../../settings/load.ts';
import { readLists } from '../../settings/rules.ts';
import { LOOKUP_SETTINGS } from '../../settings/table.ts';
import { type Inspected, readMembers } from './run.ts';

const { upstream, publicRegistries, images, catalog } = LOOKUP_SETTINGS;
const INSPECT_SETTINGS = { upstream, publicRegistries, images, catalog } as const;

interface InspectFlags {
  readonly json?: boolean;
  readonly raw?: boolean;
}

const EXAMPLES = helpText([
  ['metahub inspect alpine', 'print what the name refers to: entries, platforms, features, layers'],
  ['metahub inspect --raw alpine > it.json', 'the registry’s bytes, for explain --manifest it.json'],
  ['metahub inspect ghcr.io/a/b@sha256:…', 'print one manifest'],
]);

/** Adds the options and the action of `metahub inspect`. */
export function configure(command: Command): void {
  command.argument('<image>', 'an image name as in docker pull: alpine, ghcr.io/a/b:v1');
  addSettings(command, INSPECT_SETTINGS);
  command
    .addOption(new JsonOption('inspect'))
    .addOption(command.createOption('--raw', 'print the manifest unchanged, byte for byte').conflicts('json'))
    .addHelpText('after', EXAMPLES)
    .action(inspect);
}

async function inspect(written: string, flags: InspectFlags): Promise<void> {
  const { repository, reference } = parseImage(written);
  const name = formatReference(repository, reference);
  const settings = await loadSettings(INSPECT_SETTINGS, { ...flags });
  const lists = await readLists(settings);
  const inspected = await withRegistry(settings, lists, async (registry): Promise<Inspected> => {
    try {
      const manifest = await registry.manifest(repository, reference);
      const document = parseManifestDocument(manifest.bytes, manifest.mediaType);
      const members = flags.raw ? [] : await readMembers(registry, repository, document);
      return { name, manifest, document, members };
    } catch (cause) {
      throw lookupFailure(cause, name);
    }
  });
  if (flags.raw) process.stdout.write(inspected.manifest.bytes);
  else if (flags.json) process.stdout.write((await import('./render.ts')).renderJson(inspected));
  else process.stdout.write((await import('./render.ts')).renderText(inspected));
}
