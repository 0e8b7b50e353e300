import { describe, expect, test } from 'vitest';
import { readLocalFeatures } from '../../src/probe/local-features.ts';
import { type Tree, treeHost } from '../support/host-tree.ts';

const NOW = new Date('2026-06-01T00:00:00Z');
const OURS = 'etc/metahub/features.d';
const NFD = 'etc/kubernetes/node-feature-discovery/features.d';

function read(tree: Tree) {
  const { root, problems } = treeHost(tree);
  return { features: readLocalFeatures(root, NOW, problems), warnings: problems.warnings };
}

describe('local features', () => {
  test('are read from both directories, MetaHub’s first', () => {
    const { features } = read({
      [`${NFD}/site`]: 'example.com/rack=b12\nexample.com/tier=gold\n',
      [`${OURS}/site`]: 'example.com/tier=silver\nsite:hpc-north\n',
    });
    expect(features).toEqual(['example.com/tier=silver', 'site:hpc-north', 'example.com/rack=b12']);
  });

  test('default to true, and ignore comments and blank lines', () => {
    const { features } = read({ [`${OURS}/a`]: '# a comment\n\n  licensed-mkl  \nempty=\n' });
    expect(features).toEqual(['licensed-mkl=true', 'empty=']);
  });

  test('that are not key=value are reported as they are written, with their file', () => {
    const { features, warnings } = read({ [`${OURS}/a`]: 'two words\n=value\nspaced = out\n' });
    expect(features).toEqual(['spaced = out']);
    expect(warnings).toEqual([
      `/${OURS}/a: "two words" is not key=value: it is left out`,
      `/${OURS}/a: "=value" is not key=value: it is left out`,
    ]);
  });

  test('expire, from a directive on until the next one', () => {
    const { features } = read({
      [`${OURS}/a`]: [
        'always=1',
        '# +expiry-time=2012-07-28T11:22:33Z',
        'gone=1',
        'also-gone=1',
        '# +expiry-time=2080-07-28T11:22:33Z',
        'kept=1',
      ].join('\n'),
    });
    expect(features).toEqual(['always=1', 'kept=1']);
  });

  test('omit the one line after no-feature', () => {
    const { features } = read({
      [`${OURS}/a`]: '# +no-feature\nlabel-only=1\nfeature=1\n# +no-label\nboth=1\n',
    });
    expect(features).toEqual(['feature=1', 'both=1']);
  });

  test('keep what follows an invalid expiry time, and report it', () => {
    const { features, warnings } = read({ [`${OURS}/a`]: '# +expiry-time=tomorrow\nx=1\n' });
    expect(features).toEqual(['x=1']);
    expect(warnings).toEqual([
      `/${OURS}/a: "tomorrow" is not an RFC 3339 time; the features below it are kept`,
    ]);
  });

  test('are not read from dotfiles or files beyond 64 KiB', () => {
    const { features, warnings } = read({
      [`${OURS}/.swp`]: 'x=1',
      [`${OURS}/huge`]: 'y=1\n'.repeat(17_000),
    });
    expect(features).toEqual([]);
    expect(warnings).toEqual([`/${OURS}/huge is larger than 64 KiB: its features are not read`]);
  });

  test('omit the labels that MetaHub itself wrote for node-feature-discovery', () => {
    const { features } = read({
      [`${NFD}/metahub`]: 'metahub.feature.node.kubernetes.io/cpu=zen4\nmine=1\n',
    });
    expect(features).toEqual(['mine=1']);
  });
});
