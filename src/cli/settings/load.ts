import type { Command } from 'commander';
import type { ConfigError } from '../../lib/config-error.ts';
import { loadConfigFile } from './file.ts';
import { type InstalledService, installedService, sayOfService } from './installed-service.ts';
import { mistakenVariables } from './mistaken-variables.ts';
import { addFlags, type ResolvedSettings, resolveSettings, type SettingTable } from './setting.ts';
import { settingVariables } from './surroundings.ts';
import { SERVE_SETTINGS } from './table.ts';

/** The option that names the configuration file. */
export const CONFIG_FLAG = ['--config <file>', 'the configuration file (METAHUB_CONFIG)'] as const;

/** Adds `--config` and a table's flags to a command. */
export function addSettings(command: Command, table: SettingTable): void {
  addFlags(command, table);
  command.option(...CONFIG_FLAG);
}

export interface LoadedSettings<Table extends SettingTable> extends ResolvedSettings<Table> {
  readonly filePath: string | undefined;
  /** Variables that are most probably misspelt settings. They have no effect. */
  readonly mistaken: readonly ConfigError[];
}

/**
 * Loads the settings of a command from its flags, the environment, the configuration file and defaults. All
 * commands share one file, so a key that is not in this table belongs to another command.
 * @throws {ConfigError}
 */
export async function loadSettings<Table extends SettingTable>(
  table: Table,
  flags: Readonly<Record<string, unknown>>,
  service?: InstalledService,
): Promise<LoadedSettings<Table>> {
  const variables = settingVariables({ ...service?.environment, ...process.env });
  const named = flags['config'] ?? variables['METAHUB_CONFIG'];
  const { path, content, placeOf } = await loadConfigFile(typeof named === 'string' ? named : undefined);
  const foreign = Object.keys(SERVE_SETTINGS).filter((name) => !Object.hasOwn(table, name));
  const resolved = resolveSettings(table, {
    ...{ flags, file: content, filePath: path, placeOf, foreign },
    environment: variables,
    service: service?.values,
  });
  return { ...resolved, filePath: path, mistaken: mistakenVariables(variables) };
}

/**
 * {@link loadSettings} for commands about the mirror itself. Run by root, they are about the installed
 * service, if there is one.
 */
export async function loadServiceSettings<Table extends SettingTable>(
  table: Table,
  flags: Readonly<Record<string, unknown>>,
) {
  const service = installedService();
  const settings = await loadSettings(table, flags, service);
  if (service !== undefined && settings.origins['data'] === 'service') sayOfService(service);
  return settings;
}
