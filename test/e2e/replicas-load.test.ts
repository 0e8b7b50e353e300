import { afterAll, expect, test } from 'vitest';
import { REPLICAS_NEED, soakReplicas } from '../soak/replicas.ts';
import { FUZZ_SEED } from '../support/fuzz.ts';
import { describeWith } from '../support/required-programs.ts';
import { openWorkplace } from '../support/workplace.ts';

describeWith(REPLICAS_NEED, 'two hundred machines before three replicas behind nginx', () => {
  const workplace = openWorkplace();
  afterAll(() => workplace.close());

  test('lose no pull and get no wrong answer while replicas and Redis are killed', async () => {
    const seed = FUZZ_SEED % 1_000_000;
    const { lines, failures } = await soakReplicas(workplace, { minutes: 0.4, seed, tell: () => {} });
    expect(failures, [`METAHUB_FUZZ_SEED=${seed}`, ...lines].join('\n')).toEqual([]);
  });
});
