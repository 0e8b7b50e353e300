import { describe, expect, test } from 'vitest';
import type { Tag } from '../../src/oci/reference.ts';
import { TagNames } from '../../src/store/tag-names.ts';

const APP = 'registry.test/team/app';

describe('TagNames', () => {
  test('keeps 1000 tags of a repository, those served most recently', () => {
    const named = Array.from({ length: 1000 }, (_, at) => ({ name: `${APP}:v${at}` }));
    // Another program may have written a file of a name that is no tag.
    const names = new TagNames([...named, { name: `${APP}:-` }]);
    const before = names.of(APP);
    expect(before).toEqual(Array.from({ length: 1000 }, (_, at) => `v${999 - at}`));
    names.add(APP, 'new' as Tag);
    expect(names.of(APP)).toEqual(['new', ...before.slice(0, -1)]);
  });

  test('keeps the tags of 5000 repositories, those asked for most recently', () => {
    const names = new TagNames(Array.from({ length: 5000 }, (_, at) => ({ name: `${APP}-${at}:v1` })));
    expect(names.of(`${APP}-0`)).toEqual(['v1']);
    names.add(`${APP}-5000`, 'v1' as Tag);
    expect([0, 1, 2, 5000].map((at) => names.of(`${APP}-${at}`))).toEqual([['v1'], [], ['v1'], ['v1']]);
  });
});
