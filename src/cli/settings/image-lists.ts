import * as v from 'valibot';
import { type ConfigSource, readSource } from '../../lib/config-source.ts';
import { type ListSpec, listSchema } from '../../oci/image-list.ts';
import { FeatureText } from '../../selection/feature-schema.ts';
import { readYamlFolder } from './yaml.ts';

/** One list whose features are known. */
export const ImageList = listSchema(FeatureText);

/** A file of lists: one, or several as a YAML list. */
export const ImageLists = v.pipe(
  v.union([ImageList, v.array(ImageList)]),
  v.transform((read): readonly ListSpec[] => (Array.isArray(read) ? read : [read])),
);

/** What a list is made of, for those whose file is none. */
export const LIST_FORM =
  'A list has image, manifests of {image, platform: {os, architecture, features}}, and maybe tags.';

/** The virtual images of a file. @throws {ConfigError} */
export function readImageLists(source: ConfigSource): readonly ListSpec[] {
  return readSource(ImageLists, source, { nextStep: LIST_FORM });
}

/** The virtual images of a folder. @throws {ConfigError} */
export async function loadImageCatalog(
  folder: string,
  options: { readonly mayBeAbsent: boolean },
): Promise<readonly ListSpec[]> {
  const files = await readYamlFolder(folder, options);
  return files.flatMap(readImageLists);
}
