/** What one program did, by column. */
export interface MatrixRow {
  readonly name: string;
  readonly version: string;
  readonly cells: readonly { readonly column: string; readonly seen: string; readonly isRight: boolean }[];
}

const BEGIN = '<!-- Written by `npm run runtimes -- --write`. -->';
const END = '<!-- End of what is written. -->';

/** A table of Markdown with the programs below each other; what is not as expected is bold. */
export function renderMatrix(rows: readonly MatrixRow[]): string {
  const columns = rows[0]?.cells.map(({ column }) => column) ?? [];
  const body = rows.map(({ name, version, cells }) => {
    // The epoch and Debian's own suffixes say nothing about the program.
    const upstream = version.replace(/^\d+:/, '').replace(/[+~]ds.*|[+~]dfsg.*|-[^-]*$/, '');
    return [`${name} ${upstream}`, ...cells.map(({ seen, isRight }) => (isRight ? seen : `**${seen}**`))];
  });
  const heads = ['program', ...columns];
  const widths = heads.map((_, at) => Math.max(...[heads, ...body].map((cells) => cells[at]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(' | ')} |`;
  const rule = widths.map((width) => '-'.repeat(width));
  return [heads, rule, ...body].map(line).join('\n');
}

/** The document with other tables in it. */
export function replaceMatrix(document: string, tables: readonly string[], date: Date): string {
  const [begin, end] = [document.indexOf(BEGIN), document.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error('the document has no place for the matrix');
  const watched = `Watched on ${date.toISOString().slice(0, 10)}:`;
  const parts = [document.slice(0, begin + BEGIN.length), watched, ...tables, document.slice(end)];
  return parts.join('\n\n');
}
