import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { type Gateway, startGateway } from './gateway.ts';
import type { Workplace } from './workplace.ts';

interface Referring {
  readonly mediaType?: string;
  readonly artifactType?: string;
  readonly config?: { readonly mediaType?: string };
  readonly subject?: { readonly digest: string };
  readonly annotations?: Readonly<Record<string, string>>;
}

const MANIFEST = /^\/v2\/(.+)\/manifests\/([^/?]+)$/;
const REFERRERS = /^\/v2\/(.+)\/referrers\/([^/?]+)(?:\?(.*))?$/;

/**
 * The referrers API in front of a registry without it. It records what is pushed through it.
 * @see https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-referrers
 */
export async function startReferrersApi(
  workplace: Workplace,
  registry: string,
): Promise<{ readonly url: string }> {
  const referrers = new Map<string, object[]>();

  /** Records the subject of a pushed manifest. Returns the subject's digest. */
  function note(name: string, bytes: Buffer, { 'content-type': type = '' }: IncomingHttpHeaders) {
    const { subject, artifactType, config, annotations } = JSON.parse(bytes.toString()) as Referring;
    if (subject === undefined) return undefined;
    const key = `${name}@${subject.digest}`;
    const descriptor = {
      ...{ mediaType: type, digest: digestOf(bytes), size: bytes.length, annotations },
      artifactType: artifactType ?? config?.mediaType,
    };
    referrers.set(key, [...(referrers.get(key) ?? []), descriptor]);
    return subject.digest;
  }

  function list(response: ServerResponse, [, name = '', digest = '', query = '']: readonly string[]): void {
    const wanted = new URLSearchParams(query).get('artifactType');
    const all = (referrers.get(`${name}@${digest}`) ?? []) as { artifactType?: string }[];
    const manifests = wanted === null ? all : all.filter(({ artifactType }) => artifactType === wanted);
    response.writeHead(200, {
      'content-type': MEDIA_TYPE.ociIndex,
      ...(wanted === null ? {} : { 'oci-filters-applied': 'artifactType' }),
    });
    response.end(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests }));
  }

  const answer: Gateway = async (incoming, outgoing, passOn) => {
    const { method = '', url = '', headers } = incoming;
    const asked = REFERRERS.exec(url);
    if (asked !== null) return list(outgoing, asked);
    const body = await buffer(incoming);
    const name = method === 'PUT' ? MANIFEST.exec(url)?.[1] : undefined;
    const subject = name === undefined ? undefined : note(name, body, headers);
    passOn({ body, ...(subject === undefined ? {} : { answerHeaders: { 'oci-subject': subject } }) });
  };
  return { url: `http://127.0.0.1:${await startGateway(workplace, registry, answer)}` };
}
