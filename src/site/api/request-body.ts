import type { IncomingMessage, ServerResponse } from 'node:http';
import { visit } from 'jsonc-parser';
import { parseJson } from '../../lib/bounded-json.ts';
import { check, type Schema, shown } from '../../lib/schema.ts';
import { ApiProblem } from './api-problem.ts';

/** Maximum size of a body, in bytes: ten times the size of a machine type with 64 features. */
const BODY_MAX_BYTES = 64 * 1024;
const BODY_TIMEOUT_MS = 10_000;
const BODY_BOUNDS = { depth: 8, values: 8192 };

const MEDIA_TYPES = ['application/json', 'application/merge-patch+json'];

/** Reads the whole body. Closes the connection of a client that sends too much or too slowly. */
export async function readBytes(request: IncomingMessage, response: ServerResponse): Promise<Buffer> {
  const tooLarge = () => {
    response.shouldKeepAlive = false;
    return new ApiProblem('too-large', `the body is larger than ${BODY_MAX_BYTES} bytes`);
  };
  if (Number(request.headers['content-length'] ?? 0) > BODY_MAX_BYTES) throw tooLarge();
  if (request.headers.expect !== undefined) response.writeContinue();
  const timer = setTimeout(() => request.destroy(), BODY_TIMEOUT_MS);
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  try {
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      sizeBytes += chunk.length;
      if (sizeBytes > BODY_MAX_BYTES) throw tooLarge();
      chunks.push(chunk);
    }
  } finally {
    clearTimeout(timer);
  }
  return Buffer.concat(chunks);
}

function pointerOf(path: readonly (string | number)[]): string {
  return path.map((key) => `/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

/**
 * Returns a name that an object contains twice. Parsers differ in which of its values they take.
 * @see https://www.rfc-editor.org/rfc/rfc8259#section-4
 */
function repeatedNameIn(json: string): string | undefined {
  const objects: Set<string>[] = [];
  let repeated: string | undefined;
  visit(json, {
    onObjectBegin: () => void objects.push(new Set()),
    onObjectEnd: () => void objects.pop(),
    onObjectProperty: (name) => {
      if (objects.at(-1)?.has(name)) repeated ??= name;
      objects.at(-1)?.add(name);
    },
  });
  return repeated;
}

/** Reads and validates a JSON body. @throws {ApiProblem} that names every invalid part */
export async function readJsonBody<Body>(
  request: IncomingMessage,
  response: ServerResponse,
  schema: Schema<Body>,
): Promise<Body> {
  const type = (request.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
  const { 'content-encoding': coding = 'identity' } = request.headers;
  if (!MEDIA_TYPES.includes(type) || coding !== 'identity') {
    throw new ApiProblem('media-type', 'the body is not JSON', {
      nextStep: 'Send it with Content-Type: application/json, and without Content-Encoding.',
    });
  }
  const bytes = await readBytes(request, response);
  let written: unknown;
  try {
    written = parseJson(bytes, BODY_BOUNDS);
  } catch (cause) {
    throw new ApiProblem('invalid-json', 'the body is not JSON, or has too many levels or values', { cause });
  }
  const repeated = repeatedNameIn(bytes.toString());
  if (repeated !== undefined) {
    throw new ApiProblem('invalid-json', `an object of the body has ${shown(repeated)} twice`);
  }
  return readBodyBy(schema, written);
}

/** Validates a parsed body. @throws {ApiProblem} that names every invalid part */
export function readBodyBy<Body>(schema: Schema<Body>, written: unknown): Body {
  const { output, problems } = check(schema, written);
  if (problems === undefined) return output;
  const errors = problems.map(({ path, code, why }) => ({ pointer: pointerOf(path), code, detail: why }));
  const [first] = errors;
  const detail =
    errors.length === 1 ? `${first?.pointer} ${first?.detail}`.trim() : `${errors.length} parts are wrong`;
  throw new ApiProblem('invalid-body', detail, { errors, nextStep: problems[0].nextStep });
}
