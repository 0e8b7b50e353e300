import hcl from 'hcl2-parser';
import { describe, expect, test } from 'vitest';
import { attempt } from '../support/processes.ts';
import { runCli } from '../support/run-cli.ts';

const MUSEUM = 'test/fixtures/hosts';

/** What `--format` prints of a host of the museum. */
async function format(name: string, host: string, ...words: readonly string[]): Promise<string> {
  const { stdout, stderr } = await runCli(
    'detect',
    '--root',
    `${MUSEUM}/${host}`,
    '--format',
    name,
    ...words,
  );
  expect(stderr).toBe('');
  return stdout;
}

/** What HashiCorp's parser makes of a client's configuration. */
interface Client {
  readonly client: readonly { readonly meta: readonly Readonly<Record<string, string>>[] }[];
}

const H100 = 'ubuntu22.04-sapphirerapids-h100';
const GRACE = 'ubuntu24.04-grace-gh200';
const MI250 = 'sles15-zen3-mi250x';

describe('metahub detect --format variants', () => {
  // PEP 825: namespaces and features `^[a-z0-9_]+$`, values `^[a-z0-9_.]+$`.
  test.each([H100, GRACE, MI250, 'debian12-core2', 'rhel9-power10le'])(
    'prints only properties for %s',
    async (host) => {
      for (const line of (await format('variants', host)).split('\n').filter(Boolean)) {
        expect(line).toMatch(/^[a-z0-9_]+ :: [a-z0-9_]+ :: [a-z0-9_.]+$/);
      }
    },
  );

  test('prints the bounds of CUDA, the machine code that runs, the levels and the flags, the best first', async () => {
    const lines = (await format('variants', H100)).split('\n');
    expect(lines).toEqual(
      expect.arrayContaining([
        'nvidia :: sm_arch :: 90_real',
        'nvidia :: sm_arch :: 90_virtual',
        'x86_64 :: avx512f :: on',
        'x86_64 :: sse3 :: on',
      ]),
    );
    expect(lines.filter((line) => line.startsWith('x86_64 :: level'))).toEqual([
      'x86_64 :: level :: v4',
      'x86_64 :: level :: v3',
      'x86_64 :: level :: v2',
      'x86_64 :: level :: v1',
    ]);
    expect(lines.some((line) => /^nvidia :: cuda_version_lower_bound :: \d+\.\d+$/.test(line))).toBe(true);
  });

  test('prints the versions of an arm64 host', async () => {
    const lines = (await format('variants', GRACE)).split('\n');
    expect(lines).toContain('aarch64 :: version :: 8.2a');
    expect(lines).toContain('aarch64 :: sve :: on');
  });
});

describe('metahub detect --format for other programs', () => {
  test('conda prints the variables of CEP 30', async () => {
    expect(await format('conda', H100)).toMatch(
      /^export CONDA_OVERRIDE_ARCHSPEC=sapphirerapids\nexport CONDA_OVERRIDE_CUDA=\d+\.\d+\nexport CONDA_OVERRIDE_CUDA_ARCH=9\.0\nexport CONDA_OVERRIDE_GLIBC=2\.35\nexport CONDA_OVERRIDE_LINUX=\d+\.\d+\.\d+\n$/,
    );
  });

  test.each([
    ['linux-core-i7-11800h', 'icelake', 'tigerlake'],
    ['sles15-emeraldrapids-gaudi2', 'sapphirerapids', 'emeraldrapids'],
    ['amazon2023-neoverse_v3', 'neoverse_v2', 'neoverse_v3'],
    ['linux-raspberrypi5', 'armv8.2a', 'cortex_a76'],
  ])('conda and spack name %s as archspec does', async (host, archspec, own) => {
    for (const name of ['conda', 'spack']) {
      const text = await format(name, host);
      expect(text).toMatch(new RegExp(`[=-]${archspec.replace('.', '\\.')}$`, 'm'));
      expect(text).not.toMatch(new RegExp(`\\b${own}\\b`));
    }
  });

  test('conda and spack print no microarchitecture for a family that archspec does not know', async () => {
    expect(await format('conda', 'linux-loongson-3c6000')).not.toContain('ARCHSPEC');
    expect(await format('spack', 'linux-loongson-3c6000')).toBe('target=loongarch64\n');
  });

  test('conda names the least capable of several GPUs', async () => {
    expect(await format('conda', H100, '--set', 'nvcap:7.0', '--set', 'nvcap:8.9')).toMatch(
      /CUDA_ARCH=7\.0$/m,
    );
  });

  test.each([
    [H100, 'x86_64/intel/sapphirerapids', 'accel/nvidia/cc90'],
    [GRACE, 'aarch64/nvidia/grace', 'accel/nvidia/cc90'],
    [MI250, 'x86_64/amd/zen3', 'accel/amd/gfx90a'],
    ['debian12-core2', 'x86_64/generic', undefined],
    // Not neoverse_v1, for which archdetect takes it: an M4 has no SVE outside of streaming mode.
    ['asahi41-m1', 'aarch64/generic', undefined],
  ])('eessi names for %s the folder %s', async (host, folder, accelerator) => {
    const text = await format('eessi', host);
    expect(text).toContain(`export EESSI_SOFTWARE_SUBDIR_OVERRIDE=${folder}\n`);
    expect(text.includes('ACCELERATOR')).toBe(accelerator !== undefined);
    if (accelerator !== undefined)
      expect(text).toContain(`EESSI_ACCELERATOR_TARGET_OVERRIDE=${accelerator}\n`);
  });

  test('eessi fails for a host for which EESSI builds nothing', async () => {
    const { stderr, status } = await runCli('detect', '--root', `${MUSEUM}/rhel9-z16`, '--format', 'eessi');
    expect(stderr).toMatch(/EESSI has no software for s390x/);
    expect(status).toBe(1);
  });

  test('spack prints the architecture, and the variants of the GPU', async () => {
    expect(await format('spack', H100)).toBe('arch=linux-ubuntu22.04-sapphirerapids +cuda cuda_arch=90\n');
    expect(await format('spack', MI250)).toBe('arch=linux-sles15-zen3 +rocm amdgpu_target=gfx90a\n');
  });

  test('slurm prints names that --constraint accepts', async () => {
    const text = await format('slurm', H100);
    expect(text).toMatch(/^Feature=[\w.,-]+\n$/);
    const names = text.trim().slice('Feature='.length).split(',');
    expect(names).toEqual(
      expect.arrayContaining(['sapphirerapids', 'icelake', 'x86-64-v4', 'x86-64-v3', 'nvcap9.0']),
    );
  });

  test.each([H100, GRACE, MI250, 'alma9-local-features'])(
    'nomad prints a meta block that HashiCorp’s parser reads, for %s',
    async (host) => {
      const [document, problem] = hcl.parseToObject(await format('nomad', host)) as [Client, unknown];
      expect(problem).toBeNull();
      const [meta] = document.client[0]?.meta ?? [];
      expect(meta?.['metahub_cpu']).toMatch(/^\w+$/);
      expect(Object.keys(meta ?? {}).filter((name) => !/^[a-z]\w*$/.test(name))).toEqual([]);
    },
  );

  test.each(['conda', 'eessi', 'build-env'])(
    '%s sets the variables in a shell that runs it, and does nothing else',
    async (name) => {
      for (const host of [H100, GRACE, MI250]) {
        const text = await format(name, host);
        const { status, stdout, stderr } = await attempt('sh', ['-euc', `${text}exec env -0`], {
          env: { PATH: '/usr/bin:/bin' },
        });
        expect([status, stderr]).toEqual([0, '']);
        const set = new Map(stdout.split('\0').map((line) => [line.split('=', 1)[0], line] as const));
        const named = [...text.matchAll(/^export (\w+)=/gm)].map(([, variable]) => variable);
        expect(named.length).toBe(text.split('\n').length - 1);
        for (const variable of named) expect(set.has(variable)).toBe(true);
      }
    },
  );

  test('build-env prints flags that gcc accepts', async () => {
    const text = await format('build-env', 'rhel7-haswell');
    const compile = `${text}printf 'int main(void) { return 0; }' | gcc $CFLAGS -x c -fsyntax-only -`;
    const { status, stderr } = await attempt('sh', ['-euc', compile]);
    expect([status, stderr]).toEqual([0, '']);
  });

  test('build-env prints the variables of Go, C, Rust and CUDA for a shell', async () => {
    const text = await format('build-env', H100);
    expect(text).toMatch(/^export GOAMD64=v4$/m);
    expect(text).toMatch(/^export CFLAGS="-march=sapphirerapids -mtune=sapphirerapids"$/m);
    expect(text).toMatch(/^export RUSTFLAGS="-C target-cpu=sapphirerapids"$/m);
    expect(text).toMatch(/^export CUDAARCHS=90-real$/m);
    expect(await format('build-env', GRACE)).toMatch(/^export GOARM64=v\d\.\d$/m);
    expect(await format('build-env', MI250)).toMatch(/^export PYTORCH_ROCM_ARCH=gfx90a$/m);
  });

  test('--json is refused with each of these formats', async () => {
    const { status } = await runCli('detect', '--root', `${MUSEUM}/${H100}`, '--format', 'conda', '--json');
    expect(status).toBe(2);
  });
});
