/** A fault that the mirror is built for. */
export interface Fault {
  readonly number: number;
  readonly name: string;
  /** What clients, or the operator, see of it. */
  readonly whatHappens: string;
}

export interface FaultGroup {
  readonly title: string;
  readonly faults: readonly Fault[];
}

function group(
  title: string,
  first: number,
  rows: readonly (readonly [name: string, whatHappens: string])[],
): FaultGroup {
  return {
    title,
    faults: rows.map(([name, whatHappens], index) => ({ number: first + index, name, whatHappens })),
  };
}

/** The faults. Tests that provoke one are named `fault N: …`. */
export const FAULT_GROUPS: readonly FaultGroup[] = [
  group('The registry behind the mirror', 1, [
    [
      'connection refused',
      'A stored tag is served stale, with a Warning. Any other request fails at once with 502.',
    ],
    [
      'name not found',
      'A stored tag is served stale. Any other request fails with 502, and the error names DNS.',
    ],
    [
      'connect black hole',
      'MetaHub gives up after the time limit for a response head. It serves the stored tag stale, tries the next endpoint, or answers 504.',
    ],
    ['response headers never come', 'MetaHub gives up after the same time limit and closes the connection.'],
    [
      'one byte a second',
      'A manifest has a time limit. A blob that stalls is requested again from the byte at which it stopped.',
    ],
    ['reset mid-blob', 'MetaHub requests the rest by Range. The client gets the whole blob.'],
    [
      'truncated against Content-Length',
      'MetaHub requests the rest by Range. A blob that stays short ends in an error, never as a short blob.',
    ],
    [
      'truncated, close-delimited',
      'The digest shows that bytes are missing, and MetaHub requests them by Range.',
    ],
    [
      'longer than announced',
      'MetaHub ignores the bytes beyond the announced length. They belong neither to the blob nor to the next answer.',
    ],
    [
      'wrong digest',
      'The request fails. MetaHub withholds the last byte of a wrong body, and stores nothing of it.',
    ],
    [
      'lying Docker-Content-Digest',
      'MetaHub requests the bytes once more. Equal bytes are served under their own digest; different bytes are an error.',
    ],
    ['not JSON', 'MetaHub refuses a manifest that was requested by tag. It serves a stored tag stale.'],
    ['100 MB of JSON', 'MetaHub refuses more than 4 MiB. It serves a stored tag stale, or answers 502.'],
    [
      'nested 10,000 deep',
      'MetaHub passes such a manifest on unchanged, or reports the registry’s fault when it was requested by tag. No stack overflows.',
    ],
    ['nested or empty index', 'MetaHub passes it on unchanged.'],
    [
      'wrong mediaType',
      'MetaHub passes the bytes on. Their own mediaType counts first, then an informative Content-Type.',
    ],
    ['schema 1', 'MetaHub passes it on unchanged, with its signatures.'],
    ['duplicate entries', 'MetaHub passes them on unchanged. It chooses the first of equal entries.'],
    ['redirect loop', 'MetaHub gives up after five redirects. It serves a stored tag stale, or answers 502.'],
    [
      'redirect to a metadata address or loopback',
      'MetaHub refuses the address when it connects, whatever name resolves to it.',
    ],
    ['redirect to another host', 'MetaHub follows the redirect without Authorization.'],
    ['https to http', 'MetaHub refuses the redirect without following it.'],
    [
      '429 with Retry-After',
      'A stored tag is served stale. For anything else MetaHub passes on 429 and Retry-After, and does not ask the registry again before that time.',
    ],
    [
      '401 for ever',
      'A stored tag is served stale. Any other request fails with UNAUTHORIZED, after only the requests that a challenge needs.',
    ],
    ['token expires mid-pull', 'MetaHub fetches a new token. The client does not notice.'],
    [
      'garbage challenge',
      'A stored tag is served stale. Any other request fails with UNAUTHORIZED after one request; no token service is asked.',
    ],
    [
      '500, then well',
      'MetaHub tries once more, and the client does not notice. When that fails as well, a stored tag is served stale, or the answer is 502.',
    ],
    [
      'bad or expired certificate',
      'MetaHub sends nothing. It serves a stored tag stale, or answers 502 and names the problem of the certificate.',
    ],
    [
      'captive portal',
      'MetaHub accepts HTML with status 200 neither as a manifest nor as a blob. It serves a stored tag stale, or answers 502 and names the probable reason.',
    ],
    [
      'gzip bomb',
      'MetaHub refuses it without reading it, because it never decompresses anything. It serves a stored tag stale, or answers 502.',
    ],
  ]),
  group('The disk', 31, [
    [
      'the disk is full',
      'MetaHub evicts the least recently used content. It streams what still does not fit, and verifies it all the same.',
    ],
    ['no permission', 'The log says so once. Pulls are streamed.'],
    ['no file handles', 'Pulls are streamed. The cache works again as soon as there are free handles.'],
    ['the disk becomes read-only', 'Stored content is served, and everything else is streamed.'],
    [
      'kill -9 mid-write',
      'MetaHub never serves a half-written file as content, and loses no answer that it has announced. The next start cleans up.',
    ],
    [
      'a flipped bit',
      'The digest shows it at the first read after a start and after a change of the file; later the checksums of the blocks show it. MetaHub removes the content and fetches it again, and never serves it.',
    ],
    ['an empty file', 'MetaHub removes it and fetches the content again.'],
    [
      'a symlink in the store',
      'MetaHub does not follow it. It removes the link and fetches the content again.',
    ],
    ['pruned while it is read', 'The reader gets every byte.'],
    ['two daemons on one store', 'Both serve correct bytes, and each finds what the other has written.'],
  ]),
  group('The process', 41, [
    ['SIGTERM mid-pull', 'MetaHub finishes running pulls within --drain-timeout, and accepts no new ones.'],
    ['reload mid-pull', 'Running pulls continue. An invalid setting changes nothing.'],
    [
      'the clock one year off',
      'Nothing expires or becomes valid again, because ages use the monotonic clock.',
    ],
    [
      'a hundred clients, one blob',
      'MetaHub fetches the blob once. Late clients read what has arrived, and then follow the download.',
    ],
    [
      'the first client leaves',
      'The others get the whole blob. The download continues for a while even when no client is left.',
    ],
    ['the event loop is blocked', 'The log and /metrics show it. systemd restarts a mirror that hangs.'],
  ]),
  group('The client', 47, [
    [
      'slowloris',
      'A request head has a time limit and is then answered with 408. Idle connections are closed, and the number of connections has a limit.',
    ],
    ['header overflow', 'MetaHub answers 431.'],
    ['a URL of 1 MB', 'MetaHub answers 414, without storing the URL in memory.'],
    [
      '%2e%2e, NUL',
      'MetaHub refuses a malformed path with the error of the specification, and never corrects it.',
    ],
    ['a bad repository name', 'MetaHub answers 400 NAME_INVALID.'],
    ['ns= of a host that is not allowed', 'MetaHub answers 403 and asks no registry.'],
    ['a loop of mirrors', 'MetaHub answers 508 when it finds its own name in Via.'],
    ['Range edges, overflow', 'MetaHub limits the range as the RFC demands, or answers 416.'],
    ['HEAD equals GET', 'Every header is equal, for every kind of answer.'],
    ['If-None-Match', 'MetaHub answers 304 without a body, and does not open the blob.'],
    ['PUT, POST, DELETE, PATCH', 'MetaHub answers 405 UNSUPPORTED and reads no body.'],
    [
      'Host rebinding',
      'The pages, and a mirror on loopback, answer only requests to addresses, localhost and configured names.',
    ],
    ['CRLF in a header', 'Text of a registry or client never ends one of MetaHub’s headers early.'],
    ['a slow reader', 'Memory does not grow, because the source waits for the reader.'],
  ]),
  group('What other people’s cases showed', 61, [
    [
      'values ranked by position',
      'MetaHub ranks variants, CPU flags, levels and versions by their meaning, in any order.',
    ],
    [
      'an entry that is not an image',
      'Artifacts, nested indexes and other encodings stay in the answer, and MetaHub never chooses them.',
    ],
    [
      'another spelling of a platform',
      'MetaHub reads `Linux`, `x86_64`, `V3` and arm `7` as containerd reads them, in every place.',
    ],
    ['a flag without those that it needs', 'The flag does not count, because its instructions trap.'],
    [
      'an image of which no entry runs',
      'MetaHub answers with an index at which runtimes stop. After an error they would pull an image from the registry that does not run.',
    ],
    [
      'a plain entry built for a higher level',
      'MetaHub notes the suspicion. The operator or the publisher can declare a baseline.',
    ],
    ['HEAD refused where GET works', 'MetaHub sends one GET to the same endpoint.'],
    [
      'a redirect to another registry, which challenges',
      'MetaHub uses an anonymous token of that registry, and shows it no login.',
    ],
    [
      'a push that is redirected or answered oddly',
      'MetaHub follows redirects with the same method, and takes any 2xx for success.',
    ],
    ['a login stored with a default port', 'MetaHub uses it for that host, and for no other.'],
    ['a registry that hides with 404', 'MetaHub presents a stored login after the challenge of `/v2/`.'],
    [
      'right bytes under a wrong label',
      'The digest decides. Without a digest, the document must be a manifest.',
    ],
    ['a URL that another program would re-encode', 'MetaHub sends path and query as it received them.'],
    [
      'corners of the grammar of HTTP',
      'MetaHub reads interim responses, parameters in any order and commas in comments as the RFCs define them.',
    ],
    [
      'referrers answered 404',
      'MetaHub answers with a code after which the client looks for the referrers tag.',
    ],
    [
      'a registry at a private address',
      'MetaHub connects to any address to which a name that the operator wrote resolves.',
    ],
    [
      'answers for a login in a shared cache',
      'They are marked as private. Shared caches can store only what everybody may see.',
    ],
    [
      'pipelined and unusual requests',
      'MetaHub answers the earlier requests before it closes the connection.',
    ],
    ['the conformance suite', 'All thirty checks pass, in node mode and in site mode.'],
    [
      'content deleted beside the mirror',
      'MetaHub fetches and stores it again, and does not announce it before.',
    ],
    [
      'a digest that another mirror derived',
      'MetaHub finds it among the derived forms of the repository’s indexes, within a budget.',
    ],
    [
      'a client that shows no login',
      'The log and `metahub doctor` say that passThrough does not work with this client.',
    ],
    ['a pull right after a push', 'The pull gets what `metahub push` has pushed.'],
  ]),
  group('Ranges of a large blob', 84, [
    ['a range that ends early', 'MetaHub resumes the range where it broke. All other ranges continue.'],
    ['wrong bytes in a range', 'The digest shows it, and the client never gets the last byte.'],
    [
      'a range of another version',
      'MetaHub recognises it by ETag or length, discards it, and requests it again.',
    ],
    [
      'a range that is refused',
      'MetaHub requests it again; after 429 and 503 it waits, and then requests the rest in one piece.',
    ],
    [
      'the whole blob in place of a range',
      'MetaHub reads the rest in one piece, and every byte gets its right place.',
    ],
    ['a range that stalls', 'MetaHub requests it again while the others continue.'],
    [
      'a signed location that expires half-way',
      'MetaHub asks the registry for a new one, and continues the ranges there.',
    ],
  ]),
];

export const FAULTS: readonly Fault[] = FAULT_GROUPS.flatMap(({ faults }) => faults);
