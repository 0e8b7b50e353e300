import { afterAll, expect, test } from 'vitest';
import { attackSoak } from '../soak/attacks.ts';
import { SOAK_NEEDS, soak } from '../soak/soak.ts';
import { FUZZ_SEED } from '../support/fuzz.ts';
import { describeWith } from '../support/required-programs.ts';
import { openWorkplace } from '../support/workplace.ts';

describeWith(SOAK_NEEDS, 'many clients, a registry that fails and a mirror that is killed', () => {
  const workplace = openWorkplace();
  afterAll(() => workplace.close());

  test('every blob has its digest, no pull is lost, and memory and handles are freed', async () => {
    const seed = FUZZ_SEED % 1_000_000;
    const { lines, failures } = await soak(workplace, { minutes: 0.3, seed, tell: () => {} });
    expect(failures, [`METAHUB_FUZZ_SEED=${seed}`, ...lines].join('\n')).toEqual([]);
  });
});

describeWith(SOAK_NEEDS, 'pulls beside a client of a site that attacks', () => {
  const workplace = openWorkplace();
  afterAll(() => workplace.close());

  test('a soak loses no answer, serves none stale, admits first logins, and keeps the event loop and memory bounded', async () => {
    const seed = FUZZ_SEED % 1_000_000;
    const { lines, failures } = await attackSoak(workplace, { minutes: 0.4, seed, tell: () => {} });
    expect(failures, [`METAHUB_FUZZ_SEED=${seed}`, ...lines].join('\n')).toEqual([]);
  });
});
