import { type ListSpec, parseListSpec } from '../../../oci/image-list.ts';
import { parseTag, type Tag } from '../../../oci/reference.ts';
import { problemWithFeature } from '../../../selection/check-feature.ts';
import { readYaml } from '../../settings/yaml.ts';
import { UserError } from '../../user-error.ts';

/** A list to be pushed: a spec whose tags are tags, not patterns. */
export interface PushList {
  readonly spec: ListSpec;
  readonly tags: readonly [Tag, ...Tag[]];
}

/**
 * Reads what is to be pushed.
 * @throws {UserError} status 2
 */
export async function readList(path: string): Promise<PushList> {
  const { content } = await readYaml(path);
  const refuse = (why: string, nextStep: string, cause?: unknown) =>
    new UserError(`${path}: ${why}`, { cause, nextStep, exitStatus: 2 });
  let spec: ListSpec;
  try {
    spec = parseListSpec(content, problemWithFeature);
  } catch (cause) {
    const form = 'A list has image, and manifests of {image, platform: {os, architecture, features}}.';
    throw refuse((cause as Error).message, form, cause);
  }
  const tags = spec.tags.map(({ text }) => parseTag(text));
  const [first, ...rest] = tags.filter((tag) => tag !== undefined);
  if (first === undefined || tags.length !== rest.length + 1) {
    throw refuse(
      `${spec.tags.map(({ text }) => text).join(', ')} is a pattern of tags, and only a tag can be pushed`,
      'Name the tag in image, or serve the file as a virtual image (metahub serve --images DIR).',
    );
  }
  return { spec, tags: [first, ...rest] };
}
