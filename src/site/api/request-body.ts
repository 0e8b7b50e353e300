import type { IncomingMessage, ServerResponse } from 'node:http';
import { readLimited } from '../../lib/http.ts';
import { check, type Schema, shown } from '../../lib/schema.ts';
import { parseStrictJson, RepeatedNameError } from '../../lib/strict-json.ts';
import { ApiProblem } from './api-problem.ts';

/** Maximum size of a body, in bytes: ten times the size of a machine type with 64 features. */
const BODY_MAX_BYTES = 64 * 1024;
const BODY_BOUNDS = { depth: 8, values: 8192 };

const MEDIA_TYPES = ['application/json', 'application/merge-patch+json'];

/** Reads the whole body. Closes the connection of a client that sends too much or too slowly. */
export async function readBytes(request: IncomingMessage, response: ServerResponse): Promise<Buffer> {
  const bytes = await readLimited(request, BODY_MAX_BYTES, () => {
    if (request.headers.expect !== undefined) response.writeContinue();
  });
  if (bytes !== undefined) return bytes;
  response.shouldKeepAlive = false;
  throw new ApiProblem('too-large', `the body is larger than ${BODY_MAX_BYTES} bytes`);
}

function pointerOf(path: readonly (string | number)[]): string {
  return path.map((key) => `/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
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
    written = parseStrictJson(bytes.toString(), BODY_BOUNDS);
  } catch (cause) {
    const why =
      cause instanceof RepeatedNameError
        ? `an object of the body has ${shown(cause.repeated)} twice`
        : 'the body is not JSON, or has too many levels or values';
    throw new ApiProblem('invalid-json', why, { cause });
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
