import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { installedPrograms, type Programs } from './processes.ts';
import { writeRegistriesFiles } from './registries-conf.ts';
import type { Workplace } from './workplace.ts';

/** skopeo, which copies the image for this host into an OCI layout. */
export interface Skopeo {
  skopeo(...args: readonly string[]): Promise<string>;
  /** The exact bytes of a name's manifest. */
  raw(image: string): Promise<string>;
  /** Copies an image into a directory. Resolves with the digest of its config and its architecture. */
  copy(image: string, ...options: readonly string[]): Promise<CopiedImage>;
}

interface CopiedImage {
  /** Digest of the copied image manifest. */
  readonly digest: string;
  readonly architecture: string;
}

export function openSkopeo(
  workplace: Workplace,
  {
    mirror,
    configuration,
    logins,
    programs = installedPrograms,
  }: {
    readonly mirror: string;
    readonly configuration?: string;
    readonly logins?: string;
    readonly programs?: Programs;
  },
): Skopeo {
  const folder = workplace.folder('skopeo');
  const files = writeRegistriesFiles(folder, mirror);
  const env = { REGISTRY_AUTH_FILE: logins ?? files.logins };
  const skopeo = (...args: readonly string[]) =>
    programs.run('skopeo', ['--registries-conf', configuration ?? files.configuration, ...args], { env });
  let copies = 0;

  return {
    skopeo,
    raw: (image) => skopeo('inspect', '--raw', `docker://${image}`),
    async copy(image, ...options) {
      copies += 1;
      const target = join(folder, `copy-${copies}`);
      const digestFile = join(folder, 'digest');
      // `dir:` keeps the manifest's bytes, so its digest can be compared with the registry's.
      const kept = ['--quiet', '--preserve-digests', '--digestfile', digestFile];
      await skopeo(...options, 'copy', ...kept, `docker://${image}`, `dir:${target}`);
      const manifest = JSON.parse(readFileSync(join(target, 'manifest.json'), 'utf8')) as {
        readonly config: { readonly digest: string };
      };
      const config = readFileSync(join(target, manifest.config.digest.replace('sha256:', '')), 'utf8');
      const { architecture } = JSON.parse(config) as { readonly architecture: string };
      return { digest: readFileSync(digestFile, 'utf8').trim(), architecture };
    },
  };
}
