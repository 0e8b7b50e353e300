import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { printable } from '../../../lib/text.ts';
import { createAccountIndex } from '../../../site/account-index.ts';
import { readGroupsFile, readMachineFile } from '../../../site/machine-file.ts';
import { isAccountFile, MachineReader } from '../../../site/machine-reader.ts';
import { hostProfile } from '../../host-profile.ts';
import { openTlsIdentity } from '../../serve/tls.ts';
import { catalogInForce } from '../../settings/catalog.ts';
import { type ConfigFile, loadConfigFile } from '../../settings/file.ts';
import { loadImageCatalog, readImageLists } from '../../settings/image-lists.ts';
import { loadServiceSettings, type loadSettings } from '../../settings/load.ts';
import { readPolicies } from '../../settings/policies.ts';
import { resolveSettings } from '../../settings/setting.ts';
import { SERVE_SETTINGS } from '../../settings/table.ts';
import { readYaml } from '../../settings/yaml.ts';
import { UserError } from '../../user-error.ts';

type Kind = 'settings' | 'image lists' | 'certificate' | 'profile' | 'machine types' | 'groups' | 'file';

interface Complaint {
  readonly message: string;
  readonly nextStep: string | null;
}

/** What was found in one file or folder. */
export interface FileCheck {
  readonly path: string;
  /** What it holds; `file`: it cannot be read. */
  readonly kind: Kind;
  readonly complaints: readonly Complaint[];
}

function complaintOf(error: unknown): Complaint {
  const nextStep = error instanceof UserError ? error.nextStep : undefined;
  return { message: (error as Error).message, nextStep: nextStep ?? null };
}

async function complaintsOf(work: () => unknown): Promise<readonly Complaint[]> {
  try {
    await work();
    return [];
  } catch (error) {
    return [complaintOf(error)];
  }
}

/** Settings that are valid each for itself still name policies and entries of the catalogue. */
async function checkRules({ content, path }: ConfigFile): Promise<void> {
  const sources = { flags: {}, environment: {}, file: content, filePath: path };
  const { values } = resolveSettings(SERVE_SETTINGS, sources);
  readPolicies(values, (await catalogInForce(values)).baselines);
}

/** A complaint for each setting that is wrong, not only for the first. */
async function complaintsOfSettings(file: ConfigFile): Promise<readonly Complaint[]> {
  const ofEach = await Promise.all(
    Object.entries(file.content).map(([name, value]) =>
      complaintsOf(() =>
        resolveSettings(SERVE_SETTINGS, {
          flags: {},
          environment: {},
          file: { [name]: value },
          filePath: file.path,
        }),
      ),
    ),
  );
  const complaints = ofEach.flat();
  return complaints.length > 0 ? complaints : complaintsOf(() => checkRules(file));
}

/** What a file of this content is meant as. */
function kindOf(path: string, content: unknown): Kind {
  if (!isAccountFile(basename(path))) return 'groups';
  if (Array.isArray(content)) return 'image lists';
  const has = (key: string) => typeof content === 'object' && content !== null && key in content;
  if (has('manifests') || has('image')) return 'image lists';
  return has('user') || has('types') ? 'machine types' : 'settings';
}

/** Checks one file as what it holds. */
export async function checkFile(path: string): Promise<FileCheck> {
  let kind: Kind = 'file';
  try {
    const { content } = await readYaml(path);
    kind = kindOf(path, content);
    if (kind === 'settings') {
      return { path, kind, complaints: await complaintsOfSettings(await loadConfigFile(path)) };
    }
    if (kind === 'image lists') readImageLists({ path, content });
    else (kind === 'groups' ? readGroupsFile : readMachineFile)(await readFile(path, 'utf8'), path);
    return { path, kind, complaints: [] };
  } catch (error) {
    return { path, kind, complaints: [complaintOf(error)] };
  }
}

type ServeSettings = Awaited<ReturnType<typeof loadSettings<typeof SERVE_SETTINGS>>>;

async function checkSettings({ values, origins, filePath }: ServeSettings): Promise<readonly FileCheck[]> {
  const { images, machines, profile, tlsCert, tlsKey } = values;
  const rules = async () => readPolicies(values, (await catalogInForce(values)).baselines);
  const lists = () => loadImageCatalog(images, { mayBeAbsent: origins.images === 'default' });
  const checks: FileCheck[] = [
    { path: filePath ?? 'defaults', kind: 'settings', complaints: await complaintsOf(rules) },
    { path: images, kind: 'image lists', complaints: await complaintsOf(lists) },
  ];
  const named: readonly (readonly [path: string | undefined, kind: Kind, work: () => Promise<unknown>])[] = [
    [
      machines,
      'machine types',
      async () => createAccountIndex(await new MachineReader(machines ?? '').read()),
    ],
    [profile, 'profile', () => hostProfile(values)],
    [tlsCert ?? tlsKey, 'certificate', async () => (await openTlsIdentity(values))?.close()],
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
    const complaints = await complaintsOfSettings(file);
    if (complaints.length > 0) return [{ path, kind: 'settings', complaints }];
    return await checkSettings(await loadServiceSettings(SERVE_SETTINGS, { config: named }));
  } catch (error) {
    return [{ path, kind: 'settings', complaints: [complaintOf(error)] }];
  }
}

/** A line for each file, and below it what is wrong and what to do. */
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
