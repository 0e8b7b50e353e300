import type { ListSpec } from '../../oci/image-list.ts';
import { type CatalogSettings, catalogInForce } from './catalog.ts';
import { loadImageCatalog } from './image-lists.ts';
import { createPolicies, type PolicyFor, type PolicySettings } from './policies.ts';
import type { Origin } from './setting.ts';

/** The settings by which images are composed. */
export interface ListSettings {
  readonly values: Pick<CatalogSettings, 'catalog'> & { readonly images: string };
  readonly origins: { readonly images: Origin };
}

/** The settings by which images are composed and entries are chosen. */
export interface RuleSettings extends ListSettings {
  readonly values: ListSettings['values'] & CatalogSettings & PolicySettings;
}

/** How images are composed, and how entries are chosen. */
export interface Rules {
  /** Lists of images, strongest first: the operator's own, then the catalogue's. */
  readonly lists: readonly ListSpec[];
  readonly policyFor: PolicyFor;
}

function readOwnLists({ values, origins }: ListSettings): Promise<readonly ListSpec[]> {
  return loadImageCatalog(values.images, { mayBeAbsent: origins.images === 'default' });
}

/** Reads the lists alone. @throws {UserError} */
export async function readLists(settings: ListSettings): Promise<readonly ListSpec[]> {
  const { catalog } = settings.values;
  const [own, named] = await Promise.all([
    readOwnLists(settings),
    catalogInForce({ catalog, catalogBaselines: false }),
  ]);
  return [...own, ...named.lists];
}

/**
 * Reads the operator's lists and policies, and adds the catalogue's.
 * @throws {UserError}
 */
export async function readRules(settings: RuleSettings): Promise<Rules> {
  const { values } = settings;
  const [own, catalog] = await Promise.all([readOwnLists(settings), catalogInForce(values)]);
  return { lists: [...own, ...catalog.lists], policyFor: createPolicies(values, catalog.baselines) };
}
