import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** The sources of the facts in the tables of src/. MetaHub uses facts only, neither text nor code. */
const DATA_SOURCES = `\
archspec-json, https://github.com/archspec/archspec-json
  Names, ancestors, vendors, flags and compiler options of CPU microarchitectures.
  Copyright 2019-2020 Lawrence Livermore National Security, LLC and other archspec project developers.
  Apache-2.0 OR MIT; used under Apache-2.0, whose text is in the file LICENSE.

The PCI ID Repository, https://pci-ids.ucw.cz
  Vendor and device numbers of GPUs, accelerators and network functions.
  GPL-2.0-or-later OR BSD-3-Clause; used under BSD-3-Clause.

gpu-admin-tools, https://github.com/NVIDIA/gpu-admin-tools
  Device numbers of NVIDIA's recent GPUs. MIT. Copyright NVIDIA Corporation.

Manuals, cited beside each table and used as a source of facts: "x86 Options" and "AArch64 Options" of GCC, the User Guide
for the AMDGPU Backend of LLVM (Apache-2.0 WITH LLVM-exception), the lists of CUDA GPUs and release notes of the CUDA Toolkit
(NVIDIA), the GPU specifications of ROCm (MIT), the ELF hardware capabilities of the Linux kernel, the RISC-V profiles, the
x86-64 psABI.`;

interface Package {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  /** The folder of the package in node_modules. */
  readonly folder: string;
}

/** Returns the packages whose code is in the bundles, according to esbuild's record of the last build. */
export function bundledPackages(): readonly Package[] {
  const metafile = JSON.parse(readFileSync(join(ROOT, 'dist/metafile.json'), 'utf8')) as {
    readonly outputs: Readonly<Record<string, { readonly inputs: Readonly<Record<string, unknown>> }>>;
  };
  const inputs = Object.values(metafile.outputs).flatMap((output) => Object.keys(output.inputs));
  const folders = inputs.flatMap((path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? []);
  return [...new Set(folders)].sort().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(ROOT, folder, 'package.json'), 'utf8'));
    return { name, version, license, folder };
  });
}

function licenseText({ name, folder }: Package): string {
  const file = readdirSync(join(ROOT, folder)).find((entry) => /^licen[cs]e/i.test(entry));
  if (file === undefined) throw new Error(`${name} has no licence file: write its notice by hand`);
  return readFileSync(join(ROOT, folder, file), 'utf8').trim();
}

/** Returns the file THIRD-PARTY-NOTICES: what in the package others have made. */
export function notices(): string {
  const rule = '='.repeat(80);
  const packages = bundledPackages().map(
    (one) => `${rule}\n${one.name} (${one.license})\n\n${licenseText(one)}\n`,
  );
  return [
    'MetaHub is licensed under Apache-2.0 (file LICENSE). It contains the work of others, named here.',
    'Written by `npm run notices` after a build; do not edit.',
    `${rule}\nFacts in tables\n\n${DATA_SOURCES}\n`,
    ...packages,
  ].join('\n\n');
}

const target = join(ROOT, 'THIRD-PARTY-NOTICES');
if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(target, notices());
