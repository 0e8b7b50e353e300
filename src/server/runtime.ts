/** The kinds of clients that pull images, by the beginning of their User-Agent; the first that fits counts. */
const AGENTS: readonly (readonly [start: RegExp, kind: string])[] = [
  [/^docker\//i, 'dockerd'],
  [/^containerd\//i, 'containerd'],
  [/^buildkit\//i, 'buildkit'],
  [/^cri-o\//i, 'cri-o'],
  [/^(?:libpod|podman)\//i, 'podman'],
  [/^buildah\//i, 'buildah'],
  [/^skopeo\//i, 'skopeo'],
  [/^containers\//i, 'containers-image'],
  [/^(?:apptainer|singularity)/i, 'apptainer'],
  [/^(?:crane|go-containerregistry)/i, 'crane'],
  [/^oras/i, 'oras'],
  [/^metahub\//i, 'metahub'],
];
const OTHER = 'other';
const MEMO_MAX = 256;

/** Tells which kind of client a User-Agent names; `kinds` lists every answer it can give. */
export interface RuntimeReader {
  (userAgent: string | undefined): string;
  readonly kinds: readonly string[];
}

export function createRuntimeReader(): RuntimeReader {
  const memo = new Map<string, string>();
  const read = (userAgent: string | undefined): string => {
    if (userAgent === undefined) return OTHER;
    const known = memo.get(userAgent);
    if (known !== undefined) return known;
    const kind = AGENTS.find(([start]) => start.test(userAgent))?.[1] ?? OTHER;
    if (memo.size >= MEMO_MAX) memo.clear();
    memo.set(userAgent, kind);
    return kind;
  };
  return Object.assign(read, { kinds: [...AGENTS.map(([, kind]) => kind), OTHER] });
}
