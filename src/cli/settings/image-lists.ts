import * as v from 'valibot';
import { type ConfigSource, readSource } from '../../lib/config-source.ts';
import { type ListSpec, listSchema } from '../../oci/image-list.ts';
import { FeatureText } from '../../selection/feature-schema.ts';
import { type FolderOptions, readYaml, yamlFilesIn } from './yaml.ts';

/** A list whose features are known. */
export const ImageList = listSchema(FeatureText);

/** A file of lists: one list, or several as a YAML sequence. */
export const ImageLists = v.pipe(
  v.union([ImageList, v.array(ImageList)]),
  v.transform((read): readonly ListSpec[] => (Array.isArray(read) ? read : [read])),
);

/** The format of a list, in an error's next step. */
export const LIST_FORM =
  'A list has image, manifests of {image, platform: {os, architecture, features}}, and optionally tags.';

/** Reads the virtual images of a file. @throws {ConfigError} */
export function readImageLists(source: ConfigSource): readonly ListSpec[] {
  return readSource(ImageLists, source, { nextStep: LIST_FORM });
}

/** Reads the virtual images of a folder. @throws {ConfigError} */
export async function loadImageCatalog(folder: string, options: FolderOptions): Promise<readonly ListSpec[]> {
  const paths = await yamlFilesIn(folder, options);
  const files = await Promise.all(paths.map((path) => readYaml(path)));
  return files.flatMap(readImageLists);
}
