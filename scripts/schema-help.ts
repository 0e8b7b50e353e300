/**
 * The text that editors show for a key. `*` represents a key that the file chooses. A key with a description
 * in its schema needs no text here.
 */
type Help = Readonly<Record<string, string>>;

const below = (prefix: string, help: Help): Help =>
  Object.fromEntries(Object.entries(help).map(([key, text]) => [`${prefix}.${key}`, text]));

const POLICY: Help = {
  match: 'best: the best entry that the host runs; exact: an entry whose features equal the host’s.',
  gpu: 'With several GPUs: an entry must run on all of them, or on any.',
  answer: 'auto: by what the client accepts; index: a derived index; manifest: the chosen entry itself.',
  onNoMatch: 'When no entry runs on the host: refuse, or serve the original (upstream).',
  foreignDerived: 'A derived index of another kind of host, requested by digest: deliver or refuse.',
  allowForeignVendor: 'Entries for another vendor’s CPU are eligible when the host has every flag they need.',
  priority: 'Kinds of features, most important first, by which eligible entries rank.',
  pin: 'A digest, or a feature: an eligible entry that has it wins.',
  baseline: 'What entries without a CPU demand need nevertheless: x86-64-v3, several flags, or none.',
  denyAnnotations: 'Prefixes of annotations: entries and images that have one are not served.',
  readConfig: 'Also read NVIDIA_REQUIRE_* in the configuration of each entry’s image.',
  readCompatibility: 'Also read the compatibility artifacts of node-feature-discovery.',
};

/** Each key of a policy may also be written with dashes. */
const POLICY_KEYS: Help = Object.fromEntries(
  Object.entries(POLICY).flatMap(([key, text]) => [
    [key, text],
    [key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`), text],
  ]),
);

const TAGS = 'Tags or patterns of tags: v*, [0-9].?; a pattern after ! excludes tags.';

const ENDPOINT: Help = {
  url: 'The address of the registry’s API: https://HOST[:PORT][/PATH].',
  ns: 'Tell the endpoint which registry is meant (?ns=), as containerd does.',
  passThrough: 'Present the client’s own login to this endpoint.',
  trustedHosts: 'Hosts that redirects and token services may lead to, logins included.',
  tls: 'Certificates for this endpoint.',
  'tls.ca': 'A PEM file of authorities that are trusted in addition to the system’s.',
  'tls.cert': 'A PEM file with the client’s certificate.',
  'tls.key': 'A PEM file with the key of the client’s certificate.',
  'tls.skipVerify': 'Accept any certificate of this endpoint.',
  anyAddress: 'The name may resolve to private and loopback addresses. Default: true.',
};

const UPSTREAM: Help = {
  ...ENDPOINT,
  endpoints: 'Endpoints in the order of tries, the most authoritative one last.',
  ...below('endpoints', ENDPOINT),
  blobs: 'stream: follow redirects to blob storage; redirect: pass them on to the client.',
};

const OIDC: Help = {
  oidc: 'The OpenID provider at which people log in.',
  'oidc.issuer': 'The provider’s issuer URL.',
  'oidc.clientId': 'The client id of this site at the provider.',
  'oidc.clientSecretFile': 'A file with the client’s secret.',
  'oidc.deviceClientId': 'The client id for logins from a terminal.',
  'oidc.scopes': 'Scopes to request.',
  'oidc.accounts': 'Rules that give people an account; the first that matches counts.',
  'oidc.accounts.claims': 'Claims of the identity token that a person must have.',
  'oidc.accounts.account': 'The account of a person that the rule matches.',
  'oidc.accounts.role': 'The role of that account.',
  'oidc.accounts.groups': 'Groups of that account.',
  'oidc.accounts.groupsClaim': 'The claim that lists groups.',
};

const ENROLMENT: Help = {
  enrolment: 'Instances of clouds that get a login because their cloud vouches for them.',
  'enrolment.cloud': 'The cloud that vouches.',
  'enrolment.keys':
    'A file with the cloud’s public keys: certificates in PEM for aws, authorities in PEM for azure, a JWKS for gcp.',
  'enrolment.accounts': 'Account numbers of AWS, subscriptions of Azure, projects of GCP.',
  'enrolment.regions': 'Regions of the instances. Default: all.',
  'enrolment.maxAge': 'How long ago the cloud may have signed: 30m, 1h, 2d. For AWS since the launch.',
  'enrolment.account': 'The account whose machine types the instances are.',
  'enrolment.types':
    'Patterns of instance types (azure: of VM IDs; gcp: of instances’ names), and the machine type of each.',
};

const LIST: Help = {
  image: 'The name of the virtual image, with its tag.',
  tags: TAGS,
  manifests: 'The images that the list consists of.',
  'manifests.image': 'An image; {tag} stands for the requested tag, {1} to {9} for what a * matched.',
  'manifests.platform': 'What the image runs on. Default: what the image itself states.',
  'manifests.platform.os': 'The operating system, as Go names it: linux.',
  'manifests.platform.architecture': 'The architecture, as Go names it: amd64, arm64.',
  'manifests.platform.variant': 'The level of the architecture: v3, v8.2.',
  'manifests.platform.features': 'Features that a host must have: cpu:zen4, nvcap:9.0, avx2.',
  'manifests.platform.os.features': 'The os.features of the entry, compared by equality.',
  'manifests.annotations': 'Annotations of the entry.',
};

const PUSH = 'Patterns of repositories that it may push to. Default: none.';

export const SCHEMA_HELP: Readonly<Record<string, Help>> = {
  settings: {
    ...below('upstream.*', UPSTREAM),
    ...below('policy', POLICY_KEYS),
    ...below('repositories.*', { ...POLICY_KEYS, tags: `${TAGS} Default: all tags.` }),
    ...OIDC,
    ...ENROLMENT,
  },
  images: LIST,
  machines: {
    user: 'The account’s user name.',
    password: 'The scrypt hash of its password; metahub machine passwd sets it.',
    types: 'The machine types that the account may log in as.',
    'types.name': 'The name of the machine type.',
    'types.features': 'What the machine has: cpu:zen4, nvcap:9.0.',
    'types.login': 'The user name of the type. Default: USER-NAME.',
    'types.password': 'The scrypt hash of the type’s own password. Default: the account’s.',
    repositories: 'Patterns of repositories that it may pull. Default: all, or those of its groups.',
    push: PUSH,
    groups: 'Groups of groups.yaml whose rights the account has too.',
    tokens: 'Access tokens; metahub token create adds them.',
    'tokens.name': 'The token’s name.',
    'tokens.sha256': 'The SHA-256 of the token, in base64url.',
    'tokens.expires': 'When the token expires, in UTC. Default: never.',
    'tokens.repositories': 'Patterns that narrow what the account may pull.',
    'tokens.push': 'True: the token may push where the account may. Default: false.',
    'tokens.type': 'The machine type that the token logs in as. Default: the account itself.',
    enrolments: 'One-time tokens with which a machine gets a login.',
    'enrolments.name': 'The enrolment’s name.',
    'enrolments.type': 'The machine type of the login.',
    'enrolments.sha256': 'The SHA-256 of the one-time token, in base64url.',
    'enrolments.expires': 'When the one-time token expires, in UTC.',
    upstreamLogins: 'A file, in docker’s form, of logins that are presented upstream for this account.',
    managesMachines: 'True: the account may change its machine types over the network.',
    role: 'What the account may do at the management API.',
    oidc: 'The person at an OpenID provider that this account belongs to.',
    'oidc.issuer': 'The provider’s issuer URL.',
    'oidc.subject': 'The person’s identifier (sub) at the provider.',
    'oidc.groupsOnly': 'Does the rule of the person’s login grant by groups alone? Each login sets it.',
  },
  groups: {
    '*.repositories': 'Patterns of repositories that the members may pull.',
    '*.push': 'Patterns of repositories that the members may push to.',
  },
  profile: {
    cpu: 'The CPU.',
    'cpu.evidence.modelName': 'The model’s name.',
    'cpu.evidence.family': 'x86: the family number.',
    'cpu.evidence.model': 'x86: the model number.',
    'cpu.evidence.stepping': 'x86: the stepping.',
    'cpu.evidence.parts': 'ARM: the part numbers of all kinds of cores.',
    'cpu.evidence.generation': 'POWER: 9 for POWER9.',
    'cpu.evidence.armVersion': '32-bit ARM: the version of the architecture.',
    'cpu.evidence.uarch': 'RISC-V, s390x, loongarch64: the core, machine type or model.',
    'cpu.evidence.isa': 'RISC-V: the isa line.',
    'gpus.name': 'The product’s name.',
    'gpus.pciAddress': 'The PCI address.',
    system: 'Kernel, driver and libraries.',
    'system.nvidiaDriver': 'The version of the NVIDIA driver.',
    'system.cuda': 'The highest CUDA that the driver reports.',
    'system.kernel': 'The kernel’s release.',
    'system.glibc': 'The version of glibc.',
    'system.osId': 'ID of os-release.',
    'system.osVersion': 'VERSION_ID of os-release.',
    'system.smt': 'Whether cores run several threads.',
    'system.fabrics': 'Fabrics with a working port: ib, roce, efa.',
    'system.jetpack': 'Jetson: jp6.',
    'system.instanceType': 'The cloud’s instance type.',
    'system.numaNodes': 'The number of NUMA nodes.',
    'system.memoryBytes': 'The size of the memory, in bytes.',
    'hardware.osId': 'ID of os-release.',
    'hardware.osVersion': 'VERSION_ID of os-release.',
    'compilers.*.since': 'The first version of the compiler that knows these flags.',
    'compilers.*.flags': 'The flags.',
  },
  status: {
    'installed.runtime': 'the runtime, as metahub setup names it',
    startedAt: 'when the mirror started, in UTC',
    hostName: 'the name of the mirror’s host',
    warnings: 'what is doubtful about the settings of the mirror',
    'profile.platform': 'as in an OCI image index',
    'profile.platform.os': 'GOOS: linux, darwin',
    'profile.platform.architecture': 'GOARCH: amd64, arm64',
    'profile.platform.variant': 'the level of the architecture: v3, v8.2',
    'profile.cpu': 'the CPU',
    'profile.cpu.microarchitecture': 'its microarchitecture: zen4, neoverse_v2',
    'profile.cpu.vendor': 'its maker, as the kernel names it',
    'profile.gpus': 'each GPU or other accelerator',
    'profile.gpus.vendor': 'the maker: nvidia, amd',
    'profile.gpus.name': 'the product’s name',
    'profile.features': 'what the host has: cpu:zen4, nvcap:9.0',
    'profile.warnings': 'what could not be read of the host, and why it matters',
    'decisions.at': 'when the mirror answered, in UTC',
    'decisions.image': 'the image, with its registry and tag',
    'decisions.reason': 'why this host got this answer',
    'decisions.notes': 'what could be better',
    ...below('pulls', {
      fitted: 'answers with an entry that demands hardware of this host',
      generic: 'answers with an entry that demands none, while others do',
      unchanged: 'answers of images whose entries demand none',
      refused: 'images that have no entry for this host',
      failed: 'tags for which the registry gave no answer',
    }),
    cache: 'the cache; absent: it is off',
    'cache.usedBytes': 'what the content takes on disk, in bytes',
    'cache.limitBytes': 'the limit of the cache, in bytes',
    registries: 'the registries that were asked since the start',
    'registries.registry': 'the registry: docker.io',
    'registries.requests': 'how many requests it was sent',
    'registries.failures': 'how many of them failed',
    'registries.meanMs': 'the mean time to its answer, in milliseconds',
    reload: 'the latest reload of the settings; absent: none since the start',
    'reload.at': 'when the settings were reloaded, in UTC',
    connectionTests: 'the recent connection tests of metahub doctor that reached the mirror',
    figures: 'settings and other figures for people, each a name and a value',
    'runtimes.runtime': 'the kind of client: dockerd, containerd',
    'runtimes.lastSuccess': 'when it last got content, in UTC',
  },
  bench: {
    environment: 'Environment variables, each with one value or several; all combinations run.',
    arguments: 'Lists of arguments; each one runs.',
    entries: 'Positions of entries as metahub explain numbers them, or all, or best.',
    metric: 'The pattern of the number that the program prints. Default: its running time.',
    better: 'Whether a lower or a higher number is better.',
    rounds: 'How often each combination runs.',
  },
  catalogue: {
    title: 'What the entry is about.',
    source: 'The page with the facts.',
    checked: 'The day on which the facts were last checked.',
    promise: 'What the publisher promises, in words.',
    default: 'on: the baselines apply without being enabled.',
    images: 'Lists of images.',
    ...below('images', LIST),
    'images.example': 'A tag that the list answers to, for tables and checks.',
    native: 'Indexes that the publisher has marked itself.',
    'native.image': 'The image.',
    'native.platforms': 'Its platforms.',
    repositories: 'Baselines by pattern of repositories.',
    'repositories.*.tags': `${TAGS} Default: all tags.`,
    'repositories.*.baseline': 'What the images need although their index does not state it.',
  },
};

interface SchemaNode {
  description?: string;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly items?: SchemaNode;
  readonly additionalProperties?: SchemaNode | boolean;
  readonly anyOf?: readonly SchemaNode[];
}

const hasDescription = ({ description, anyOf = [] }: SchemaNode): boolean =>
  description !== undefined || anyOf.some(hasDescription);

/** Adds the text to every key without a description. Returns the keys for which there is none. */
export function addHelp(node: SchemaNode, help: Help, path = ''): readonly string[] {
  const below = (name: string) => (path === '' ? name : `${path}.${name}`);
  const inner = [...(node.anyOf ?? []), ...(node.items ? [node.items] : [])];
  const chosen = typeof node.additionalProperties === 'object' ? [node.additionalProperties] : [];
  return [
    ...inner.flatMap((part) => addHelp(part, help, path)),
    ...chosen.flatMap((part) => addHelp(part, help, below('*'))),
    ...Object.entries(node.properties ?? {}).flatMap(([name, property]) => {
      const at = below(name);
      const text = help[at];
      if (!hasDescription(property) && text !== undefined) property.description = text;
      return [...(hasDescription(property) ? [] : [at]), ...addHelp(property, help, at)];
    }),
  ];
}
