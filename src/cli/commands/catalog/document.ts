import * as v from 'valibot';
import { described, Texts } from '../../document-schema.ts';

const Platform = v.object({
  os: described(v.string(), 'GOOS: linux'),
  architecture: described(v.string(), 'GOARCH: amd64, arm64'),
  variant: v.optional(described(v.string(), 'the level of the architecture: v3, v8.2')),
  osVersion: v.optional(described(v.string(), 'the version of the operating system')),
  osFeatures: described(Texts, 'the os.features of the entry'),
  features: described(Texts, 'features that a host must have: cpu:zen4, nvcap:9.0'),
});

/** The output of `metahub catalog show --json`. */
export const CATALOG_ENTRY = v.object({
  name: described(v.string(), 'the name of the entry'),
  title: described(v.string(), 'what the entry is about'),
  state: described(
    v.picklist(['on', 'off', 'native']),
    'on: lists or baselines apply; native: the publisher’s own indexes suffice',
  ),
  source: described(v.string(), 'the page with the facts'),
  checked: described(v.string(), 'the day on which the facts were last checked: 2026-11-26'),
  promise: described(v.string(), 'what the publisher promises'),
  lists: described(
    v.array(
      v.object({
        repository: described(v.string(), 'the repository that the list answers for'),
        tags: described(Texts, 'patterns of its tags; a pattern after ! excludes tags'),
        example: described(v.string(), 'a tag that the list answers to'),
        members: described(
          v.array(
            v.object({
              image: described(v.string(), 'the image; {tag} stands for the requested tag'),
              platform: described(
                v.nullable(Platform),
                'what it runs on; null: what the image itself states',
              ),
            }),
          ),
          'the images that the list consists of',
        ),
      }),
    ),
    'lists of images',
  ),
  native: described(
    v.array(
      v.object({
        image: described(v.string(), 'the image'),
        platforms: described(Texts, 'its platforms: linux/amd64/v3'),
      }),
    ),
    'indexes that the publisher has marked itself',
  ),
  baselines: described(
    v.array(
      v.object({
        repositories: described(v.string(), 'a pattern of repositories'),
        tags: described(v.nullable(Texts), 'patterns of their tags; null: all'),
        baseline: described(Texts, 'what plain entries need; one of them suffices'),
      }),
    ),
    'what images need although their index does not state it',
  ),
});

/** The output of `metahub catalog ls --json`. */
export const CATALOG_LIST = v.array(CATALOG_ENTRY);

/** The output of `metahub catalog test --json`. */
export const CATALOG_TEST = v.object({
  name: described(v.string(), 'the name of the entry'),
  cases: described(
    v.array(
      v.object({
        image: described(v.string(), 'the image that the hosts pull'),
        gets: described(
          v.array(
            v.object({
              host: described(v.string(), 'the file of the host, or the name of an example'),
              image: described(v.nullable(v.string()), 'the image that it gets; null: no entry runs there'),
            }),
          ),
          'what each host gets',
        ),
      }),
    ),
    'the images of the entry',
  ),
  images: described(
    v.array(
      v.object({
        image: described(v.string(), 'an image behind a list'),
        isThere: v.optional(described(v.boolean(), 'does it exist; absent: its registry gave no answer')),
        reason: v.optional(described(v.string(), 'why it was not found')),
      }),
    ),
    'whether the images exist at their registries; empty with --offline',
  ),
});
