import { wrap } from '../lib/text.ts';

/** How wide help is, in columns; commander wraps the options to a terminal, and to this off one. */
const WIDTH = 80;
/** A command longer than this has its description on the next line, in columns. */
const COMMAND_WIDTH = 40;

/** A command line, and its description when that is not obvious. */
export type Example = readonly [command: string, what?: string];

/** The text below a command's options: examples, then notes; a note of several lines is not wrapped. */
export function helpText(examples: readonly Example[], ...notes: readonly string[]): string {
  const lengths = examples.map(([command]) => command.length).filter((length) => length <= COMMAND_WIDTH);
  const column = Math.max(4, ...lengths) + 4;
  const shown = examples.flatMap(([command, what]) => exampleLines(command, what, column));
  const paragraphs = notes.map((note) => (note.includes('\n') ? note : wrap(note, WIDTH).join('\n')));
  return ['', 'Examples:', ...shown, ...paragraphs.flatMap((text) => ['', text])].join('\n');
}

function exampleLines(command: string, what: string | undefined, column: number): readonly string[] {
  const lines = shellLines(command).map((line) => `  ${line}`);
  if (what === undefined) return lines;
  const described = wrap(what, WIDTH - column).map((line) => ' '.repeat(column) + line);
  const isOneLine = command.length + 4 <= column;
  if (!isOneLine) return [...lines, ...described];
  return described.map((line, at) => (at === 0 ? (lines[0] ?? '').padEnd(column) + line.trim() : line));
}

/** A command line broken before an option, as a shell reads it. */
function shellLines(command: string): readonly string[] {
  const lines: string[] = [];
  for (const part of command.split(/ (?=--)/)) {
    const last = lines.at(-1);
    const isFull = last !== undefined && last.length + part.length > WIDTH - 5;
    if (last !== undefined && !isFull) lines[lines.length - 1] = `${last} ${part}`;
    else lines.push(last === undefined ? part : `    ${part}`);
  }
  return lines.map((line, at) => (at < lines.length - 1 ? `${line} \\` : line));
}
