import { parseArgs } from 'node:util';
import { openWorkplace } from '../support/workplace.ts';
import { attackSoak } from './attacks.ts';
import { soakReplicas } from './replicas.ts';
import { soak } from './soak.ts';

// `npm run soak -- --minutes 10`: pulls with faults on all sides, and checks at the end that no client got wrong
// content. With `--attacks`, pulls next to a client that attacks; with `--replicas`, many machines and three
// replicas that are killed.

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string' },
    attacks: { type: 'boolean' },
    replicas: { type: 'boolean' },
  },
});
const minutes = Number(values.minutes);
const seed = Number(values.seed ?? Date.now() % 1_000_000);
if (!(minutes > 0) || !Number.isSafeInteger(seed)) {
  process.stderr.write('soak: --minutes N and --seed N are numbers\n');
  process.exit(2);
}
const workplace = openWorkplace();
process.once('SIGINT', () => void workplace.close().then(() => process.exit(130)));
try {
  const { lines, failures } = await (values.attacks ? attackSoak : values.replicas ? soakReplicas : soak)(
    workplace,
    {
      minutes,
      seed,
      tell: (line) => process.stdout.write(`${line}\n`),
    },
  );
  process.stdout.write(`\n${lines.join('\n')}\n`);
  for (const failure of failures) process.stdout.write(`FAILED: ${failure}\n`);
  process.exitCode = failures.length === 0 ? 0 : 1;
} finally {
  await workplace.close();
}
