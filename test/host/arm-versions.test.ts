import { describe, expect, test } from 'vitest';
import { levelOfNode, levelsOf } from '../../src/host/architecture.ts';
import { flagsOf, identify } from '../../src/host/identify.ts';
import { allNodes, ancestorSet, requiredFlagSet } from '../../src/host/microarchitectures.ts';

const ARM_CORES = [...allNodes()].filter(
  ({ name, vendor }) => vendor !== 'generic' && ancestorSet(name).has('armv8.1a'),
);

describe('an ARM core that descends from a version of the architecture', () => {
  // A core whose row lacked them would take hosts of a lower version for its own, and for that version.
  test.each(ARM_CORES.map(({ name }) => name))(
    '%s has the flags that Linux prints for that version',
    (name) => {
      // archspec's Neoverse V2 and N2 were recorded where the kernel prints no dit.
      const flags = [...(requiredFlagSet(name) ?? []), 'dit'];
      const versions = [...ancestorSet(name)].map(levelOfNode).filter((level) => level !== undefined);
      expect(levelsOf('arm64', flags)).toEqual(expect.arrayContaining(versions));
    },
  );
});

test.each(['nothing', 'atomics'])(
  'a Neoverse V1 that lacks %s of its own flags is not an Armv9',
  (masked) => {
    const flags = [...(flagsOf('neoverse_v1') ?? [])].filter((flag) => flag !== masked);
    const { compatible } = identify({ vendor: 'ARM', flags, parts: ['0xd40'] }, 'arm64');
    for (const name of ['armv9.0a', 'cortex_a710', 'cortex_x2']) expect(compatible).not.toContain(name);
  },
);
