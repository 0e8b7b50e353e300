import { wrap } from '../lib/text.ts';

/** Width of help texts, in columns. Commander wraps options to the width of a terminal, or else to this width. */
const WIDTH = 80;
/** Maximum width of a command with its description on the same line, in columns. */
const COMMAND_WIDTH = 40;

/** A command line, and its description when the purpose is not obvious. */
export type Example = readonly [command: string, what?: string];

/** Formats the text below a command's options: examples, then notes. A note of several lines is not wrapped. */
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

/** Breaks a command line before an option, in the way that a shell accepts. */
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
