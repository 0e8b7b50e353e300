import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { transformSync } from 'esbuild';
import { parseAst } from 'vite';

/** A test of a fault in the source code. */
export interface FaultTest {
  readonly number: number;
  /** `test/store/disk-faults.test.ts`. */
  readonly file: string;
  /** The names below that of the fault, joined. `…` replaces what a table fills in. */
  readonly name: string;
  /** The names from that of the fault to the test's own, as in the source code. */
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

/**
 * Returns the called function's name: `describe` for `describe.each(table)(…)`, `describeWith` for
 * `describeWith(…)`.
 */
function calledName(call: SyntaxNode): string {
  let callee: unknown = call['callee'];
  while (isNode(callee) && callee.type !== 'Identifier') {
    callee = callee['callee'] ?? callee['object'] ?? callee['tag'];
  }
  return isNode(callee) ? String(callee['name']) : '';
}

/** Returns the text of a string, or of a template with `…` for its expressions; undefined for anything else. */
function textOf(node: SyntaxNode): string | undefined {
  if (node.type === 'Literal') return typeof node['value'] === 'string' ? node['value'] : undefined;
  if (node.type !== 'TemplateLiteral') return undefined;
  const parts = (node['quasis'] as readonly { readonly value: { readonly cooked: string } }[]).map(
    ({ value }) => value.cooked,
  );
  return parts.join('…');
}

/** Returns the name in a call of `test` or `describe`: the first argument that is a text. */
function givenName(call: SyntaxNode): string | undefined {
  const texts = (call['arguments'] as readonly SyntaxNode[]).map(textOf);
  return texts.find((text) => text !== undefined)?.replaceAll(/%[sdijo]|\$[\w.]+/g, '…');
}

const FAULT_NAME = /^fault (\d+): (.+)$/s;

/** Returns the names from the innermost one that begins with a fault; none when no name does. */
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

/** Returns the tests of one file whose own name, or that of an enclosing block, is `fault N: …`. */
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

/** Returns the tests of faults below `test/`, sorted by number, then by file. */
export function collectFaultTests(root: string): readonly FaultTest[] {
  return readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.test.ts'))
    .sort()
    .flatMap((file) => faultTestsOf(`test/${file}`, readFileSync(join(root, 'test', file), 'utf8')))
    .sort((a, b) => a.number - b.number);
}
