import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Ajv } from 'ajv';
import { describe, expect, test } from 'vitest';
import { parseProfile } from '../../src/host/profile-json.ts';
import { readLocalFeatures } from '../../src/probe/local-features.ts';
import { pciFunction, type Tree, treeHost, writeTree } from '../support/host-tree.ts';
import { runCli } from '../support/run-cli.ts';

const REPOSITORY = fileURLToPath(new URL('../../', import.meta.url));

const BROADWELL_FLAGS =
  'fpu cx8 cmov mmx fxsr sse sse2 ht syscall lm pni pclmulqdq ssse3 fma cx16 sse4_1 sse4_2 movbe popcnt aes xsave avx ' +
  'f16c rdrand lahf_lm abm bmi1 avx2 bmi2 rdseed adx';

const BROADWELL: Tree = {
  'proc/cpuinfo':
    'processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 79\n' +
    'model name\t: Intel(R) Xeon(R) CPU E5-2686 v4 @ 2.30GHz\nstepping\t: 1\n' +
    `flags\t\t: ${BROADWELL_FLAGS}\n\n`,
  'proc/sys/kernel/osrelease': '6.1.0-18-amd64\n',
  'proc/meminfo': 'MemTotal:       131072000 kB\n',
  'etc/os-release': 'ID=debian\nVERSION_ID="12"\n',
  'usr/bin/ldd': "echo 'ldd (Debian GLIBC 2.36-9) 2.36'\n",
  'sys/devices/system/cpu/smt/active': '1\n',
  'sys/devices/system/node/node0/cpulist': '0-7\n',
  'sys/class/dmi/id/sys_vendor': 'Amazon EC2\n',
  'sys/class/dmi/id/product_name': 'm4.16xlarge\n',
};

const GPU_HOST: Tree = {
  ...BROADWELL,
  ...pciFunction('0000:41:00.0', '10de:2330', '30200', 'nvidia'),
  ...pciFunction('0000:42:00.0', '10de:2330', '30200', 'nvidia'),
  'sys/module/nvidia/version': '535.104.05\n',
};

async function detect(tree: Tree, ...words: readonly string[]) {
  return runCli('detect', '--root', writeTree(tree), ...words);
}

describe('the table of metahub detect', () => {
  test('shows the labels and values of the host', async () => {
    const { stdout, stderr, status } = await detect(GPU_HOST);
    expect(stdout).toMatch(/^CPU {7}broadwell$/m);
    expect(stdout).toContain('Intel(R) Xeon(R) CPU E5-2686 v4 @ 2.30GHz');
    expect(stdout).toMatch(/^platform {2}linux\/amd64\/v3$/m);
    expect(stdout).toMatch(/^GPU {7}2 × NVIDIA .*, compute capability 9\.0$/m);
    expect(stdout).toContain('driver 535.104.05, CUDA up to 12.2');
    expect(stdout).toContain('125 GiB of memory, 1 NUMA node, SMT on');
    expect(stdout).toContain('instance type m4.16xlarge');
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
  });

  test('fits 80 columns, is aligned, and has no colours outside a terminal', async () => {
    const { stdout } = await detect({ ...GPU_HOST, 'etc/metahub/features.d/site': 'rack=b12\n'.repeat(3) });
    const lines = stdout.trimEnd().split('\n');
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(lines.filter((line) => !/^(?:[A-Za-z]+ +| {10})(?<=^.{10})\S/.test(line))).toEqual([]);
    expect(stdout).not.toContain('\x1b');
  });
});

describe('metahub detect --json', () => {
  const schema = JSON.parse(readFileSync(join(REPOSITORY, 'schema/profile.schema.json'), 'utf8'));
  const validate = new Ajv({ strict: true, allowUnionTypes: true }).compile(schema);

  test.each([
    ['a plain server', BROADWELL, []],
    ['a GPU server', GPU_HOST, []],
    ['a host that tells nothing', { 'etc/hostname': 'bare' }, ['--arch', 'arm64']],
    ['a Mac', { 'sysctl.txt': 'machdep.cpu.brand_string: Apple M1 Pro\nhw.memsize: 17179869184\n' }, []],
    ['an assumed host', GPU_HOST, ['--set', 'cpu:zen4', '--set', 'nvcap:none']],
  ])('matches the schema for %s, and is read back as a profile', async (_, tree, words) => {
    const { stdout } = await detect(tree, '--json', ...words);
    const document: unknown = JSON.parse(stdout);
    validate(document);
    expect(validate.errors ?? []).toEqual([]);
    expect(parseProfile(document).cpu.compatible.length).toBeGreaterThan(0);
  });

  test('matches the schema for every host of the museum, is read back, and its table fits', async () => {
    const museum = join(REPOSITORY, 'test/fixtures/hosts');
    const wrong: string[] = [];
    for (const name of readdirSync(museum)) {
      const expected = JSON.parse(readFileSync(join(museum, name, 'expected.json'), 'utf8'));
      const words = ['--root', join(museum, name), '--arch', expected.platform.architecture];
      const [json, table] = [await runCli('detect', ...words, '--json'), await runCli('detect', ...words)];
      const document = JSON.parse(json.stdout);
      if (!validate(document)) wrong.push(`${name}: ${JSON.stringify(validate.errors)}`);
      if (parseProfile(document).cpu.microarchitecture !== expected.microarchitecture) wrong.push(name);
      if (json.status !== (expected.failed ? 3 : 0)) wrong.push(`${name}: status ${json.status}`);
      const wide = table.stdout.split('\n').filter((line) => line.length > 80);
      wrong.push(...wide.map((line) => `${name}: ${line}`));
    }
    expect(wrong).toEqual([]);
  });

  test('has the keys that programs rely on', async () => {
    const { stdout } = await detect(GPU_HOST, '--json');
    expect(JSON.parse(stdout)).toMatchObject({
      platform: { os: 'linux', architecture: 'amd64', variant: 'v3' },
      cpu: {
        microarchitecture: 'broadwell',
        vendor: 'GenuineIntel',
        flags: BROADWELL_FLAGS.split(' '),
        evidence: { family: 6, model: 79, stepping: 1 },
      },
      gpus: [
        { vendor: 'nvidia', computeCapability: '9.0', pciAddress: '0000:41:00.0' },
        { vendor: 'nvidia', computeCapability: '9.0', pciAddress: '0000:42:00.0' },
      ],
      system: { nvidiaDriver: '535.104.05', kernel: '6.1.0-18-amd64' },
      warnings: [],
      compilers: { gcc: [{ since: '4.9', flags: '-march=broadwell -mtune=broadwell' }] },
    });
  });

  test('lists features in a fixed order, without what they imply', async () => {
    const { features } = JSON.parse((await detect(GPU_HOST, '--json')).stdout);
    expect(features).toEqual([
      'cpu:broadwell',
      'x86-64-v3',
      'cpuvendor:GenuineIntel',
      'nvcap:9.0',
      'gpu:nvidia',
      'nvdriver:535.104.05',
      'cuda:12.2',
      'smt:on',
      'os:linux',
      'kernel:6.1.0',
      'glibc:2.36',
      'instType:m4',
      'instSize:16xl',
      'instHT:on',
    ]);
  });

  test('names no slot for an assumed GPU', async () => {
    const { gpus } = JSON.parse((await detect(GPU_HOST, '--json', '--set', 'nvcap:8.0')).stdout);
    expect(gpus).toEqual([{ vendor: 'nvidia', name: null, computeCapability: '8.0' }]);
  });
});

describe('metahub detect', () => {
  test('--features prints a YAML list', async () => {
    const { stdout } = await detect(BROADWELL, '--features');
    expect(stdout.split('\n').slice(0, 2)).toEqual(['- cpu:broadwell', '- x86-64-v3']);
  });

  test('--features --json prints them as a JSON list', async () => {
    const list: unknown = JSON.parse((await detect(GPU_HOST, '--features', '--json')).stdout);
    expect(list).toEqual(JSON.parse((await detect(GPU_HOST, '--json')).stdout).features);
  });

  test.each([
    ['cpu', 'broadwell'],
    ['level', 'x86-64-v3'],
    ['variant', 'v3'],
    ['platform', 'linux/amd64/v3'],
    ['nvcap', '9.0'],
    ['cuda', '12.2'],
    ['instType', 'm4'],
    ['flags', BROADWELL_FLAGS],
    ['model', 'Intel(R) Xeon(R) CPU E5-2686 v4 @ 2.30GHz'],
  ])('%s prints only that value', async (word, value) => {
    expect(await detect(GPU_HOST, word)).toEqual({ stdout: `${value}\n`, stderr: '', status: 0 });
  });

  test('--format nfd writes labels that Kubernetes takes and that are not read back as the operator’s', async () => {
    const { stdout } = await detect(GPU_HOST, '--format', 'nfd');
    const lines = stdout.trimEnd().split('\n');
    expect(lines).toContain('metahub.feature.node.kubernetes.io/cpu=broadwell');
    expect(lines).toContain('metahub.feature.node.kubernetes.io/cpu.haswell=true');
    expect(lines).toContain('metahub.feature.node.kubernetes.io/level.x86-64-v2=true');
    expect(
      lines.filter((line) => !/^[a-z.]+\/[A-Za-z0-9][\w.-]{0,62}=[A-Za-z0-9][\w.-]{0,62}$/.test(line)),
    ).toEqual([]);
    const { root, problems } = treeHost({
      'etc/kubernetes/node-feature-discovery/features.d/metahub': stdout,
    });
    expect(readLocalFeatures(root, new Date(0), problems)).toEqual([]);
  });

  test('--why-not names what is missing', async () => {
    const { stdout, status } = await detect(BROADWELL, '--why-not', 'skylake');
    expect(stdout).toContain('does not run code built for skylake');
    expect(stdout).toContain('clflushopt');
    expect(status).toBe(0);
    expect((await detect(BROADWELL, '--why-not', 'haswell')).stdout).toContain('runs code built for haswell');
  });

  test('--gcc and --compiler print the flags to build with', async () => {
    expect((await detect(BROADWELL, '--gcc', '12')).stdout).toBe('-march=broadwell -mtune=broadwell\n');
    expect((await detect(BROADWELL, '--compiler', 'nvc@24.1')).stdout).toBe('-tp haswell\n');
    const { stdout, stderr } = await detect(BROADWELL, '--set', 'cpu:zen4', '--compiler', 'gcc@9');
    expect(stdout).toBe('-march=znver2 -mtune=znver2\n');
    expect(stderr).toContain('does not know zen4');
  });

  test('--set assumes another host, and the table says what is assumed', async () => {
    expect((await detect(GPU_HOST, 'level', '--set', 'cpu:zen4')).stdout).toBe('x86-64-v4\n');
    const { stdout } = await detect(GPU_HOST, '--set', 'cpu:zen4', '--set', 'nvdriver:580.65');
    expect(stdout).not.toContain('Xeon');
    expect(stdout).toContain('driver 580.65, CUDA up to 13.0');
    expect(stdout).toMatch(
      /^assumed {3}cpu:zen4 x86-64-v4 cpuvendor:AuthenticAMD nvdriver:580.65 cuda:13.0$/m,
    );
  });

  test('--set of a CPU removes the warnings about this one', async () => {
    const half = join(REPOSITORY, 'test/fixtures/hosts/debian12-zen4-half-masked-guest');
    expect((await runCli('detect', '--root', half)).stdout).toMatch(/^warning/m);
    expect((await runCli('detect', '--root', half, '--set', 'smt:off')).stdout).toMatch(/^warning/m);
    expect((await runCli('detect', '--root', half, '--set', 'cpu:zen2')).stdout).not.toMatch(/^warning/m);
  });

  test('names an unknown GPU by its vendor, and an assumed one by its capability', async () => {
    const unknown = { ...BROADWELL, ...pciFunction('0000:41:00.0', '10de:3fff', '30200', 'nvidia') };
    expect((await detect(unknown)).stdout).toMatch(/^GPU {7}NVIDIA, unknown model$/m);
    expect((await detect(BROADWELL, '--set', 'nvcap:9.0')).stdout).toMatch(
      /^GPU {7}NVIDIA, compute capability 9\.0$/m,
    );
  });

  test('reads the architecture of a captured tree from its CPU, unless --arch names it', async () => {
    const arm = {
      'proc/cpuinfo': 'processor\t: 0\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n',
    };
    expect((await detect(arm, 'architecture')).stdout).toBe('arm64\n');
    expect((await detect(BROADWELL, 'architecture', '--arch', 'x86_64')).stdout).toBe('amd64\n');
  });
});

describe('metahub detect reports an error in one line, with a next step', () => {
  test.each([
    [['--root', '/nonexistent'], 1, '--root /nonexistent: there is no such directory'],
    [['--arch', 'vax'], 2, 'there is no architecture “vax”'],
    [['--set', 'cpu:zenn4'], 2, '--set: there is no microarchitecture “zenn4”; did you mean zen4?'],
    [['--set', 'two words'], 2, '--set: “two words” is not a feature'],
    [['--why-not', 'zenn4'], 2, 'there is no microarchitecture “zenn4”'],
    [['--compiler', 'tcc@1'], 2, '“tcc@1” is not a known compiler and version'],
    [['nonsense'], 2, 'detect has no value “nonsense”'],
    [['cpu', '--features'], 2, '“cpu” and --features ask for different answers'],
    [['--format', 'xml'], 2, 'xml'],
    [['--format', 'nfd', '--json'], 2, '--json and --format nfd ask for different answers'],
    [['--why-not', 'babbage'], 2, 'there is no microarchitecture “babbage”'],
    [['--all', '--root', '/tmp'], 2, '--all reads this machine'],
    [['--why-not', 'zen4', '--set', 'nvcap:9.0'], 2, '--why-not judges the host as it is'],
  ])('for %j', async (words, status, message) => {
    const run = await runCli('detect', ...words);
    expect(run.stderr).toContain(message);
    expect(run.stderr.trimEnd().split('\n')).toHaveLength(2);
    expect(run.stderr).not.toContain('    at ');
    expect(run).toMatchObject({ status, stdout: '' });
  });

  test('exits with 3, an answer and a warning with its consequence when a probe failed', async () => {
    const { stdout, status } = await detect({ 'etc/os-release': 'ID=debian\n' });
    expect(status).toBe(3);
    expect(stdout).toContain('only baseline');
  });

  test.each([['cpu'], ['--features'], ['--format', 'slurm']])(
    'prints the reason of status 3 on stderr, beside an answer without warnings: %s %s',
    async (...words) => {
      const { stdout, stderr, status } = await detect({ 'etc/os-release': 'ID=debian\n' }, ...words);
      expect(status).toBe(3);
      expect(stdout).not.toContain('only baseline');
      expect(stderr).toMatch(/^metahub: \/proc\/cpuinfo cannot be read/);
    },
  );

  test.each(['nvcap', 'nvptx'])('exits with 1 for %s, which the host does not have', async (name) => {
    expect(await detect(BROADWELL, name)).toMatchObject({ status: 1, stdout: '' });
  });
});

test('metahub detect starts no program and does not load systeminformation when there is no GPU', async () => {
  const root = writeTree(BROADWELL);
  const file = join(root, 'imports');
  writeFileSync(file, '');
  const run = `import { main } from './src/cli/main.ts'; await main(['node', 'metahub', 'detect', '--root', '${root}']);`;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [
      '--import',
      'tsx',
      '--import',
      './test/support/record-imports.mjs',
      '--input-type=module',
      '--eval',
      run,
    ],
    { cwd: REPOSITORY, env: { ...process.env, METAHUB_IMPORTS: file } },
  );
  const imports = readFileSync(file, 'utf8');
  rmSync(file);
  expect(stdout).toContain('broadwell');
  expect(imports).toContain('commander <- ');
  expect(imports).toContain('/host.ts');
  for (const heavy of ['systeminformation', 'node:child_process', 'node:http', 'compiler-flags']) {
    expect(imports).not.toContain(heavy);
  }
});
