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
    ['connection refused', 'A held tag is served stale, with a Warning; anything else is 502 at once.'],
    ['name not found', 'The same, and the error names DNS.'],
    [
      'connect black hole',
      'Given up after the time that a response head may take: stale, the next mirror of the chain, or 504.',
    ],
    ['response headers never come', 'The same, and the connection is given up with it.'],
    [
      'one byte a second',
      'Manifests have a time to be there; a blob that stalls is asked for again where it stands.',
    ],
    ['reset mid-blob', 'The rest is asked for by Range; the client sees one whole blob.'],
    [
      'truncated against Content-Length',
      'The same; a blob that stays short is an error, never a short blob.',
    ],
    [
      'truncated, close-delimited',
      'The digest tells that bytes are missing; the rest is asked for by Range.',
    ],
    [
      'longer than announced',
      'What comes beyond the announced length is no part of the blob, nor of the next answer.',
    ],
    ['wrong digest', 'An error; what would complete a wrong body is held back, and nothing of it is kept.'],
    [
      'lying Docker-Content-Digest',
      'The bytes are asked for once more: the same again, and their own digest counts; others, and it is an error.',
    ],
    ['not JSON', 'A manifest by tag is refused; stale is served where something is held.'],
    ['100 MB of JSON', 'Refused beyond 4 MiB: stale, or 502.'],
    [
      'nested 10,000 deep',
      'By digest passed on untouched; by tag it is passed on too, or the registry’s fault and said as such: nothing overflows.',
    ],
    ['nested or empty index', 'Passed on untouched.'],
    [
      'wrong mediaType',
      'The bytes are passed on; what they say of themselves counts, then a Content-Type that tells something.',
    ],
    ['schema 1', 'Passed on untouched, signatures and all.'],
    ['duplicate entries', 'Passed on untouched; of equals the first is chosen.'],
    ['redirect loop', 'Given up after five hops: stale, or 502.'],
    [
      'redirect to a metadata address or loopback',
      'Refused when the address is dialled, whatever name leads there.',
    ],
    ['redirect to another host', 'Followed without Authorization.'],
    ['https to http', 'Refused before it is followed.'],
    [
      '429 with Retry-After',
      'A held tag is served stale; else 429 and Retry-After are handed on, and the registry is not asked again.',
    ],
    [
      '401 for ever',
      'A held tag is served stale; else UNAUTHORIZED after as many requests as a challenge takes.',
    ],
    ['token expires mid-pull', 'A fresh one is fetched, unseen by the client.'],
    [
      'garbage challenge',
      'A held tag is served stale; else UNAUTHORIZED after one request; nobody else is asked.',
    ],
    ['500, then well', 'Asked once more, unseen by the client; when that fails as well, stale or 502.'],
    ['bad or expired certificate', 'Stale, or 502 that says what is wrong with it; nothing was sent.'],
    [
      'captive portal',
      'HTML with 200 is neither a manifest nor a blob: stale, or 502 that names the likely reason.',
    ],
    ['gzip bomb', 'Refused unread, as nothing is ever decompressed: stale, or 502.'],
  ]),
  group('The disk', 31, [
    [
      'the disk is full',
      'What was used longest ago makes room; what still does not fit is streamed through, checked all the same.',
    ],
    ['no permission', 'Said once in the log; pulls are streamed through.'],
    ['no file handles', 'Pulls are streamed through; the cache goes on when there are some again.'],
    ['the disk becomes read-only', 'What is held is served; what is not is streamed through.'],
    [
      'kill -9 mid-write',
      'Nothing half written is taken for content, no answer that was announced is lost, and the next start cleans up.',
    ],
    [
      'a flipped bit',
      'Found by the digest at the first read after a start and when the file has changed, later by sums of its blocks: dropped and fetched again, never served.',
    ],
    ['an empty file', 'Dropped and fetched again.'],
    ['a symlink in the store', 'Not followed; dropped and fetched again.'],
    ['pruned while it is read', 'The reader gets every byte.'],
    ['two daemons on one store', 'Both serve right bytes; each finds what the other has written.'],
  ]),
  group('The process', 41, [
    ['SIGTERM mid-pull', 'Running pulls are finished, within --drain-timeout; nobody else is let in.'],
    ['reload mid-pull', 'Running pulls go on; an unreadable setting changes nothing.'],
    ['the clock one year off', 'Nothing expires or is revived: ages run on the monotonic clock.'],
    ['a hundred clients, one blob', 'One fetch; late comers read what has arrived, then along.'],
    ['the first client leaves', 'The others finish; the fetch goes on for a while even when nobody is left.'],
    [
      'the event loop is blocked',
      'Said in the log and under /metrics; systemd starts a mirror again that hangs.',
    ],
  ]),
  group('The client', 47, [
    [
      'slowloris',
      'A request head has a time to be complete, else 408; idle connections end; there is a most of connections.',
    ],
    ['header overflow', '431.'],
    ['a URL of 1 MB', '414, without holding it.'],
    ['%2e%2e, NUL', 'Malformed paths are refused with the spec’s error, never cleaned.'],
    ['a bad repository name', '400 NAME_INVALID.'],
    ['ns= of a host that is not allowed', '403, and nobody is asked.'],
    ['a loop of mirrors', '508, by the mirror’s own name in Via.'],
    ['Range edges, overflow', 'Clipped as the RFC has it, or 416.'],
    ['HEAD equals GET', 'In every header, for every kind of answer.'],
    ['If-None-Match', '304 without a body, and without opening the blob.'],
    ['PUT, POST, DELETE, PATCH', '405 UNSUPPORTED; no body is read.'],
    [
      'Host rebinding',
      'The pages, and a mirror on loopback, answer to addresses, localhost and configured names only.',
    ],
    ['CRLF in a header', 'No header of ours ends early, whatever a registry or client has written.'],
    ['a slow reader', 'Memory does not grow: the source waits for the reader.'],
  ]),
  group('What other people’s cases showed', 61, [
    [
      'values ranked by position',
      'Variants, CPU flags, levels and versions rank by what they mean, in any order.',
    ],
    [
      'an entry that is not an image',
      'Artifacts, nested indexes and other encodings stay in the answer, and are never chosen.',
    ],
    [
      'another spelling of a platform',
      '`Linux`, `x86_64`, `V3`, arm `7`: read as containerd reads them, wherever they are written.',
    ],
    ['a flag without those that it needs', 'It does not count: its instructions trap.'],
    [
      'an image of which no entry runs',
      'An index that makes runtimes stop, in place of an error after which they install what does not run.',
    ],
    [
      'a plain entry built for a higher level',
      'The suspicion is named; a baseline is declared by the operator or the publisher.',
    ],
    ['HEAD refused where GET works', 'GET is asked once, at the same endpoint.'],
    [
      'a redirect to another registry, which challenges',
      'An anonymous token of that registry; no login is shown to it.',
    ],
    [
      'a push that is redirected or answered oddly',
      'Redirects are followed as the same method; any 2xx is success.',
    ],
    ['a login stored with a default port', 'It is one for the host, and for no other.'],
    ['a registry that hides with 404', 'It is shown a stored login after its challenge at `/v2/`.'],
    [
      'right bytes under a wrong label',
      'The digest decides; where there is none, the document must be a manifest.',
    ],
    ['a URL that another program would re-encode', 'Path and query are sent as they were received.'],
    [
      'corners of the grammar of HTTP',
      'Interim responses, parameters in any order, commas within comments are read as the RFCs have them.',
    ],
    ['referrers answered 404', 'The client is told a code after which it looks for the referrers tag.'],
    ['a registry at a private address', 'The name that the operator wrote is asked where it leads.'],
    ['answers for a login in a shared cache', 'They are private; only what everybody may see can be stored.'],
    ['pipelined and unusual requests', 'What was asked before is answered before the connection ends.'],
    ['the conformance suite', 'Thirty checks of thirty, in node and site mode.'],
    ['content deleted beside the mirror', 'It is fetched again, stored again, and not promised meanwhile.'],
    [
      'a digest that another mirror derived',
      'It is found among the forms of the repository’s indexes, within a budget.',
    ],
    [
      'a client that shows no login',
      'The log and `metahub doctor` say that passThrough does not work with it.',
    ],
    ['a pull right after a push', 'It gets what `metahub push` pushed.'],
  ]),
  group('Ranges of a large blob', 84, [
    ['a range that ends early', 'It is resumed where it broke; every other range goes on.'],
    ['wrong bytes in a range', 'The digest tells, and the client never gets the last byte.'],
    ['a range of another version', 'It is dropped by its ETag or length, and requested again.'],
    ['a range that is refused', 'It is requested again, after 429 and 503 over fewer connections.'],
    ['the whole blob in place of a range', 'It is read in one piece, and no byte is misplaced.'],
    ['a range that stalls', 'It is requested again while the others go on.'],
    [
      'a signed location that expires half-way',
      'The registry is asked for a new one, and the ranges go on there.',
    ],
  ]),
];

export const FAULTS: readonly Fault[] = FAULT_GROUPS.flatMap(({ faults }) => faults);
