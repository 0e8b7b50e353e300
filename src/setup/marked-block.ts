/** What MetaHub writes into a file that is not its own stands between these lines. */
const BEGIN = '# metahub: begin (metahub setup --remove takes this out)';
const END = '# metahub: end';
const BLOCK = /^[ \t]*# metahub: begin\b[^\n]*\n[\s\S]*?^[ \t]*# metahub: end[ \t]*(?:\n|$)/gm;
const REPLACED = /^[^\n]*# metahub: replaces ([^\n]*)$/gm;

export function markedBlock(lines: readonly string[]): string {
  return [BEGIN, ...lines, END, ''].join('\n');
}

/** A line in the place of another, which it remembers. */
export function replacingLine(line: string, original: string): string {
  return `${line} # metahub: replaces ${original.trim()}`;
}

/** The text without marked blocks, and with replaced lines as they were. Byte for byte the same where there are none. */
export function withoutMarks(text: string): string {
  return text.replaceAll(BLOCK, '').replaceAll(REPLACED, '$1');
}
