import { basename } from 'node:path';
import { ConfigError } from '../../../lib/config-error.ts';
import type { ConfigSource } from '../../../lib/config-source.ts';
import { readTextFile } from '../../../lib/regular-file.ts';
import { printable } from '../../../lib/text.ts';
import { createAccountIndex } from '../../../site/account-index.ts';
import { checkCloudKeys } from '../../../site/enrolment/cloud-keys.ts';
import { readGroupsFile, readMachineFile } from '../../../site/machine-file.ts';
import { isAccountFile, MachineReader } from '../../../site/machine-reader.ts';
import { hostProfile, readProfileFile } from '../../host-profile.ts';
import type { JsonDocument } from '../../json-documents.ts';
import { openTlsIdentity } from '../../serve/tls.ts';
import { catalogInForce } from '../../settings/catalog.ts';
import { type ConfigFile, loadConfigFile } from '../../settings/file.ts';
import { readImageLists } from '../../settings/image-lists.ts';
import { loadServiceSettings, type loadSettings } from '../../settings/load.ts';
import { resolveSettings } from '../../settings/setting.ts';
import { SERVE_SETTINGS } from '../../settings/table.ts';
import { type FolderOptions, readYaml, yamlFilesIn } from '../../settings/yaml.ts';
import { UserError } from '../../user-error.ts';

/** What is wrong in one file or folder. */
export type FileCheck = JsonDocument<'config-check'>['checks'][number];
type Kind = FileCheck['kind'];

function complaintsOfError(error: unknown): FileCheck['complaints'] {
  if (error instanceof ConfigError) {
    return [error, ...error.further].map(({ code, file, line, column, path, message, nextStep }) => ({
      code,
      file: file ?? null,
      line: line ?? null,
      column: column ?? null,
      path: path ?? null,
      message,
      nextStep: nextStep ?? null,
    }));
  }
  const nextStep = error instanceof UserError ? error.nextStep : undefined;
  const { message } = error as Error;
  const nowhere = { code: null, file: null, line: null, column: null, path: null };
  return [{ ...nowhere, message, nextStep: nextStep ?? null }];
}

async function complaintsOf(work: () => unknown): Promise<FileCheck['complaints']> {
  try {
    await work();
    return [];
  } catch (error) {
    return complaintsOfError(error);
  }
}

/**
 * Checks names of catalogue entries, which the schema of settings does not know. @throws {ConfigError |
 * UserError}
 */
async function checkSettings({ content, path, placeOf }: ConfigFile): Promise<void> {
  const sources = { flags: {}, environment: {}, file: content, filePath: path, placeOf };
  await catalogInForce(resolveSettings(SERVE_SETTINGS, sources).values);
}

/** Guesses the kind of a file from its content. */
function kindOf(path: string, content: unknown): Kind {
  if (!isAccountFile(basename(path))) return 'groups';
  if (Array.isArray(content)) return 'image lists';
  const has = (key: string) => typeof content === 'object' && content !== null && key in content;
  if (has('manifests') || has('image')) return 'image lists';
  if (has('cpu') && has('platform')) return 'profile';
  return has('user') || has('types') ? 'machine types' : 'settings';
}

/** Reads a file as a file of this kind. */
async function readAs(kind: Kind, source: ConfigSource): Promise<unknown> {
  const { file } = source;
  if (kind === 'settings') return checkSettings(await loadConfigFile(file));
  if (kind === 'image lists') return readImageLists(source);
  if (kind === 'profile') return readProfileFile(file);
  return (kind === 'groups' ? readGroupsFile : readMachineFile)(await readTextFile(file), file);
}

/** Checks one file as the kind that its content suggests. */
export async function checkFile(path: string): Promise<FileCheck> {
  let kind: Kind = 'file';
  const complaints = await complaintsOf(async () => {
    const source = await readYaml(path);
    kind = path.endsWith('.json') ? 'profile' : kindOf(path, source.content);
    await readAs(kind, source);
  });
  return { path, kind, complaints };
}

/** Checks every file of a folder of image lists, even when others are invalid. */
async function checkImageFolder(path: string, options: FolderOptions): Promise<FileCheck> {
  let files: readonly string[] = [];
  const complaints = [
    ...(await complaintsOf(async () => {
      files = await yamlFilesIn(path, options);
    })),
  ];
  for (const file of files) {
    complaints.push(...(await complaintsOf(async () => readImageLists(await readYaml(file)))));
  }
  return { path, kind: 'image lists', complaints };
}

type ServeSettings = Awaited<ReturnType<typeof loadSettings<typeof SERVE_SETTINGS>>>;

async function checkFolders({ values, origins, filePath }: ServeSettings): Promise<readonly FileCheck[]> {
  const { images, machines, profile, tlsCert, tlsKey, enrolment } = values;
  const checks: FileCheck[] = [
    {
      path: filePath ?? 'defaults',
      kind: 'settings',
      complaints: await complaintsOf(() => catalogInForce(values)),
    },
    await checkImageFolder(images, { mayBeAbsent: origins.images === 'default' }),
  ];
  const named: readonly (readonly [path: string | undefined, kind: Kind, work: () => Promise<unknown>])[] = [
    [
      machines,
      'machine types',
      async () => createAccountIndex(await new MachineReader(machines ?? '').read()),
    ],
    [profile, 'profile', () => hostProfile(values)],
    [tlsCert ?? tlsKey, 'certificate', async () => (await openTlsIdentity(values))?.close()],
    ...enrolment.map((rule) => [rule.keys, 'keys of a cloud', () => checkCloudKeys(rule)] as const),
  ];
  for (const [path, kind, work] of named) {
    if (path !== undefined) checks.push({ path, kind, complaints: await complaintsOf(work) });
  }
  return checks;
}

/** Checks the configuration file, the environment, and the folders that they name. */
export async function checkInForce(flags: { readonly config?: string }): Promise<readonly FileCheck[]> {
  const named = flags.config ?? process.env['METAHUB_CONFIG'];
  let path = named ?? 'defaults';
  try {
    const file = await loadConfigFile(named);
    path = file.path ?? path;
    await checkSettings(file);
    const settings = await loadServiceSettings(SERVE_SETTINGS, { config: named });
    const folders = await checkFolders(settings);
    const { mistaken } = settings;
    if (mistaken.length === 0) return folders;
    return [
      ...folders,
      { path: 'METAHUB_*', kind: 'variables', complaints: mistaken.flatMap(complaintsOfError) },
    ];
  } catch (error) {
    return [{ path, kind: 'settings', complaints: complaintsOfError(error) }];
  }
}

/** Formats a line for each file, and below it the problems with their next steps. */
export function renderChecks(checks: readonly FileCheck[]): string {
  const lines = checks.flatMap(({ path, kind, complaints }) => [
    `${printable(path)} (${kind}): ${complaints.length === 0 ? 'ok' : 'not valid'}`,
    ...complaints.flatMap(({ message, nextStep }) => [
      `  ${printable(message)}`,
      ...(nextStep === null ? [] : [`    ${printable(nextStep)}`]),
    ]),
  ]);
  return `${lines.join('\n')}\n`;
}
