import type { WriteRoute } from '../oci/push.ts';
import { RegistryError } from '../oci/registry-error.ts';
import {
  allowedHost,
  digestIn,
  type HostRules,
  parseQuery,
  type Query,
  referenceIn,
  repositoryOf,
} from './routes.ts';

/** `NAME/blobs/uploads/` and `NAME/blobs/uploads/SESSION`; no name of a repository ends so. */
const UPLOAD = /^\/v2\/(.+)\/blobs\/uploads(?:\/([A-Za-z0-9_-]*))?$/;
const MANIFEST = /^\/v2\/(.+)\/manifests\/([^/]+)$/;
const UPLOAD_METHODS = ['PATCH', 'PUT', 'GET', 'DELETE'];

function notAllowed(allow: string): RegistryError {
  return new RegistryError('UNSUPPORTED', 'this method is not supported here', { headers: { allow } });
}

function mountIn({ mount, from }: Query, rules: HostRules) {
  // Without `from` a registry may look for the blob wherever it likes, which is not for every login to know.
  if (mount === undefined || from === undefined) return undefined;
  return { digest: digestIn(mount), from: repositoryOf(from, undefined, rules) };
}

/** Does this request belong to a push, whatever it turns out to be? Reading an upload's state does. */
export function isPush(method: string, path: string): boolean {
  return UPLOAD.test(path) || (method === 'PUT' && MANIFEST.test(path));
}

/**
 * What a request to write asks for.
 * @throws {RegistryError} as `parseRoute` does; UNSUPPORTED with 405 for another method, with 404 for another path.
 */
export function parseWriteRoute(method: string, target: string, rules: HostRules): WriteRoute {
  const mark = target.indexOf('?');
  const path = mark < 0 ? target : target.slice(0, mark);
  const query = parseQuery(mark < 0 ? '' : target.slice(mark + 1));
  const namespace = query.ns === undefined ? undefined : allowedHost(query.ns, rules);
  const digest = query.digest === undefined ? undefined : digestIn(query.digest);
  const targetOf = (written: string) => ({
    repository: repositoryOf(written, namespace, rules),
    written,
    namespace,
  });
  const [, uploading, session = ''] = UPLOAD.exec(path) ?? [];
  if (uploading !== undefined && session === '') {
    if (method !== 'POST') throw notAllowed('POST');
    return { kind: 'begin-upload', ...targetOf(uploading), digest, mount: mountIn(query, rules) };
  }
  if (uploading !== undefined) {
    if (!UPLOAD_METHODS.includes(method)) throw notAllowed(UPLOAD_METHODS.join(', '));
    return { kind: 'upload', ...targetOf(uploading), session, digest };
  }
  const [, written, reference = ''] = MANIFEST.exec(path) ?? [];
  if (written === undefined)
    throw new RegistryError('UNSUPPORTED', 'nothing can be written here', { status: 404 });
  if (method !== 'PUT') throw notAllowed('GET, HEAD, PUT');
  return { kind: 'manifest', ...targetOf(written), reference: referenceIn(reference) };
}
