import { spawnSync } from 'node:child_process';
import type { Workplace } from '../test/support/workplace.ts';
import { SERVER_CORES } from './drive.ts';
import { PROGRAM, startMetahub } from './registries.ts';
import { measure } from './rounds.ts';
import type { Section } from './table.ts';

const METAHUB = 'metahub serve, start to listening';
const DETECT = 'metahub detect';
const NODE = 'node -e 0';
const BARE = 'bare node:http, start to listening';
/** Prints that it listens, and stops. */
const LISTEN =
  "require('node:http').createServer().listen(0,'127.0.0.1',()=>{console.log(1);process.exit()})";

/** The time from start to listening, compared with a bare Node.js. */
export async function benchStart(workplace: Workplace, rounds: number): Promise<readonly Section[]> {
  const env = { ...process.env, NODE_EXTRA_CA_CERTS: '' };
  const timed = async (work: () => unknown) => {
    const start = performance.now();
    await work();
    return { rate: 1000 / (performance.now() - start) };
  };
  const data = workplace.folder('metahub-start');
  /** On the core of the servers, as `serve`. */
  const node = (...words: readonly string[]) =>
    timed(() => spawnSync('taskset', ['--cpu-list', SERVER_CORES, process.execPath, ...words], { env }));
  return [
    {
      title: 'Start',
      how: `\`serve\`: from the command to the line that says it listens; \`detect\`: to its end; ${rounds} rounds.`,
      unit: 'starts/s',
      measured: await measure(rounds, {
        [METAHUB]: async () => {
          let server: Awaited<ReturnType<typeof startMetahub>> | undefined;
          const figure = await timed(async () => {
            server = await startMetahub(workplace, { upstream: 'http://127.0.0.1:9', data });
          });
          await server?.stop();
          return figure;
        },
        [DETECT]: () => node(PROGRAM, 'detect'),
        [BARE]: () => node('-e', LISTEN),
        [NODE]: () => node('-e', '0'),
      }),
      ratios: [
        { of: METAHUB, against: NODE, goal: 1 / 2.6 },
        { of: DETECT, against: NODE, goal: 1 / 1.3 },
        { of: BARE, against: NODE },
      ],
    },
  ];
}
