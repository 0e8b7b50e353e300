import type { ListSpec } from '../../oci/image-list.ts';
import { type CatalogSettings, catalogInForce } from './catalog.ts';
import { loadImageCatalog } from './image-lists.ts';
import { createPolicies, type PolicyFor, type PolicySettings } from './policies.ts';
import type { Origin } from './setting.ts';

/** The settings that determine how images are composed. */
export interface ListSettings {
  readonly values: Pick<CatalogSettings, 'catalog'> & { readonly images: string };
  readonly origins: { readonly images: Origin };
}

/** The settings that determine how images are composed and how entries are chosen. */
export interface RuleSettings extends ListSettings {
  readonly values: ListSettings['values'] & CatalogSettings & PolicySettings;
}

/** How images are composed, and how entries are chosen. */
export interface Rules {
  /** Lists of images, the strongest first: the operator's own, then those of the catalogue. */
  readonly lists: readonly ListSpec[];
  readonly policyFor: PolicyFor;
}

function readOwnLists({ values, origins }: ListSettings): Promise<readonly ListSpec[]> {
  return loadImageCatalog(values.images, { mayBeAbsent: origins.images === 'default' });
}

/** Reads only the lists. @throws {UserError} */
export async function readLists(settings: ListSettings): Promise<readonly ListSpec[]> {
  const { catalog } = settings.values;
  const [own, named] = await Promise.all([
    readOwnLists(settings),
    catalogInForce({ catalog, catalogBaselines: false }),
  ]);
  return [...own, ...named.lists];
}

/** Reads the lists and policies of the operator, and adds those of the catalogue. @throws {UserError} */
export async function readRules(settings: RuleSettings): Promise<Rules> {
  const { values } = settings;
  const [own, catalog] = await Promise.all([readOwnLists(settings), catalogInForce(values)]);
  return { lists: [...own, ...catalog.lists], policyFor: createPolicies(values, catalog.baselines) };
}
