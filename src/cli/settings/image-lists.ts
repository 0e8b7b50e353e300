import { type ListSpec, parseListSpec } from '../../oci/image-list.ts';
import { problemWithFeature } from '../../selection/check-feature.ts';
import { UserError } from '../user-error.ts';
import { readYamlFolder, type YamlFile } from './yaml.ts';

/**
 * The virtual images of a file: one list, or several as a YAML list.
 * @throws {UserError} status 2, naming the file.
 */
export function readImageLists({ path, content }: YamlFile): readonly ListSpec[] {
  return (Array.isArray(content) ? content : [content]).map((item) => {
    try {
      return parseListSpec(item, problemWithFeature);
    } catch (cause) {
      throw new UserError(`${path}: ${(cause as Error).message}`, {
        cause,
        nextStep:
          'A list has image, manifests of {image, platform: {os, architecture, features}}, and maybe tags.',
        exitStatus: 2,
      });
    }
  });
}

/**
 * The virtual images of a folder.
 * @throws {UserError} status 2, naming the file.
 */
export async function loadImageCatalog(
  folder: string,
  options: { readonly mayBeAbsent: boolean },
): Promise<readonly ListSpec[]> {
  const files = await readYamlFolder(folder, options);
  return files.flatMap(readImageLists);
}
