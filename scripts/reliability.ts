import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { collectFaultTests, type FaultTest } from './fault-tests.ts';
import { FAULT_GROUPS, type Fault } from './sixty-faults.ts';

// `npm run reliability` writes docs/reliability.md from the names of the tests.

const ROOT = fileURLToPath(new URL('..', import.meta.url));

const INTRODUCTION = `# Reliability

<!-- Written by \`npm run reliability\` from the names of the tests. -->

What MetaHub promises whatever goes wrong: **never a wrong byte, never a lost pull that could have been served, never a
credential to the wrong host.**

A digest is immutable: once held, upstream is never asked for it again. A tag that cannot be looked up is served as it was,
with a \`Warning\` header and a line in the log; where nothing is held the client hears so at once, so that it can turn to the
registry itself.

Each of these sixty faults has tests that provoke it for real: hostile servers on real sockets, a full file system, a killed
process, real dockerd, containerd and podman. The names of the tests are listed below the tables.

\`npm run soak -- --minutes 10\` mixes them: many clients that check every digest, a registry that resets, truncates, stalls and
lies, and a mirror that is killed, stopped and reloaded meanwhile. It ends with what was served and with the memory and file
handles of the mirror afterwards.

Every reader of what others write (request lines, headers, challenges, references, ranges, indexes, configuration) is tried with
input made up at random: 500 times each with the tests, and 10,000 times each with \`npm run fuzz\`, for every night.
\`METAHUB_FUZZ_RUNS\` says how often instead. A failure names the seed and the smallest input that shows it.
`;

function escapeCell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll(/\s+/g, ' ');
}

function linkTo(file: string): string {
  const name = file.replace(/^test\//, '').replace(/\.test\.ts$/, '');
  return `[${name}](../${file})`;
}

function row({ number, name, whatHappens }: Fault, tests: readonly FaultTest[]): string {
  const files = [...new Set(tests.map(({ file }) => file))];
  const cells = [String(number), escapeCell(name), escapeCell(whatHappens), files.map(linkTo).join(', ')];
  return `| ${cells.join(' | ')} |`;
}

/** A test's name without its fault's, which stands above it. */
function shownName(fault: Fault, shown: string): string {
  const rest = shown.startsWith(`${fault.name}: `) ? shown.slice(fault.name.length + 2) : shown;
  return rest === '…' ? 'each of a table' : rest;
}

function proof(fault: Fault, tests: readonly FaultTest[]): string {
  const lines = tests.map(({ file, name }) => `- ${escapeCell(shownName(fault, name))} (${linkTo(file)})`);
  return `### ${fault.number}: ${escapeCell(fault.name)}\n\n${[...new Set(lines)].join('\n')}\n`;
}

/** The document that the tests of a checkout make. */
export function renderReliability(tests: readonly FaultTest[]): string {
  const of = (fault: Fault) => tests.filter(({ number }) => number === fault.number);
  const tables = FAULT_GROUPS.map(
    ({ title, faults }) =>
      `## ${title}\n\n| | fault | what happens | tests |\n| -: | - | - | - |\n${faults
        .map((fault) => row(fault, of(fault)))
        .join('\n')}\n`,
  );
  const proofs = FAULT_GROUPS.flatMap(({ faults }) => faults.map((fault) => proof(fault, of(fault))));
  return [INTRODUCTION, ...tables, '## What the tests show\n', ...proofs].join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const tests = collectFaultTests(ROOT);
  writeFileSync(`${ROOT}docs/reliability.md`, renderReliability(tests));
  process.stdout.write(`docs/reliability.md: ${tests.length} tests\n`);
}
