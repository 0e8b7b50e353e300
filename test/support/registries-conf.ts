import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface RegistriesFiles {
  /** A registries.conf that sends docker.io only to the mirror. */
  readonly configuration: string;
  /** An empty file of logins, so that those of the user who runs the tests are not used. */
  readonly logins: string;
}

/** Writes the registry configuration of podman and skopeo. */
export function writeRegistriesFiles(folder: string, mirror: string): RegistriesFiles {
  const files = { configuration: join(folder, 'registries.conf'), logins: join(folder, 'auth.json') };
  const location = new URL(mirror).host;
  writeFileSync(
    files.configuration,
    // For docker.io's name and for the registry's own.
    ['docker.io', location]
      .map((prefix) => `[[registry]]\nprefix = "${prefix}"\nlocation = "${location}"\ninsecure = true\n`)
      .join(''),
  );
  writeFileSync(files.logins, '{}\n');
  return files;
}
