import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { transformSync } from 'esbuild';
import { parseAst } from 'vite';

/** A test of one of the faults, as it stands in the sources. */
export interface FaultTest {
  readonly number: number;
  /** `test/store/disk-faults.test.ts`. */
  readonly file: string;
  /** What the names between the fault's and the test's own say, then that; `…` stands for what a table fills in. */
  readonly name: string;
  /** The names from the fault's to the test's own, as the sources have them. */
  readonly names: readonly string[];
}

interface SyntaxNode {
  readonly type: string;
  readonly [key: string]: unknown;
}

function isNode(value: unknown): value is SyntaxNode {
  return typeof value === 'object' && value !== null && 'type' in value;
}

function childrenOf(node: SyntaxNode): readonly SyntaxNode[] {
  return Object.values(node).flat().filter(isNode);
}

/** `describe` of `describe.each(table)(…)`, `describeWith` of `describeWith(…)`. */
function calledName(call: SyntaxNode): string {
  let callee: unknown = call['callee'];
  while (isNode(callee) && callee.type !== 'Identifier') {
    callee = callee['callee'] ?? callee['object'] ?? callee['tag'];
  }
  return isNode(callee) ? String(callee['name']) : '';
}

/** A string's text, or a template's with `…` for what it fills in; undefined for anything else. */
function textOf(node: SyntaxNode): string | undefined {
  if (node.type === 'Literal') return typeof node['value'] === 'string' ? node['value'] : undefined;
  if (node.type !== 'TemplateLiteral') return undefined;
  const parts = (node['quasis'] as readonly { readonly value: { readonly cooked: string } }[]).map(
    ({ value }) => value.cooked,
  );
  return parts.join('…');
}

/** The name that a call of `test` or `describe` gives: its first text. */
function givenName(call: SyntaxNode): string | undefined {
  const texts = (call['arguments'] as readonly SyntaxNode[]).map(textOf);
  return texts.find((text) => text !== undefined)?.replaceAll(/%[sdijo]|\$[\w.]+/g, '…');
}

const FAULT_NAME = /^fault (\d+): (.+)$/s;

/** The names from the innermost that is a fault's; none without one. */
export function namesOfFault(names: readonly string[]): readonly string[] {
  const at = names.findLastIndex((name) => FAULT_NAME.test(name));
  return at < 0 ? [] : names.slice(at);
}

function collect(node: SyntaxNode, names: readonly string[], found: (names: readonly string[]) => void) {
  let inner = names;
  if (node.type === 'CallExpression') {
    const name = givenName(node);
    const called = calledName(node);
    if (name !== undefined && /^(?:test|it)$/.test(called)) return found([...names, name]);
    if (name !== undefined && /^describe/.test(called)) inner = [...names, name];
  }
  for (const child of childrenOf(node)) collect(child, inner, found);
}

/** The tests of one file whose own name, or that of a block around them, is `fault N: …`. */
export function faultTestsOf(file: string, source: string): readonly FaultTest[] {
  const { code } = transformSync(source, { loader: 'ts', format: 'esm' });
  const tests: FaultTest[] = [];
  collect(parseAst(code) as unknown as SyntaxNode, [], (chain) => {
    const names = namesOfFault(chain);
    const [, number, rest = ''] = FAULT_NAME.exec(names[0] ?? '') ?? [];
    if (number === undefined) return;
    const inside = names.slice(1);
    tests.push({ number: Number(number), file, name: inside.length === 0 ? rest : inside.join(': '), names });
  });
  return tests;
}

/** The tests of faults below `test/`, by number, then by file. */
export function collectFaultTests(root: string): readonly FaultTest[] {
  return readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.test.ts'))
    .sort()
    .flatMap((file) => faultTestsOf(`test/${file}`, readFileSync(join(root, 'test', file), 'utf8')))
    .sort((a, b) => a.number - b.number);
}
