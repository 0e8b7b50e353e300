import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface RegistriesFiles {
  /** A registries.conf that sends docker.io to the mirror, with no way around it. */
  readonly configuration: string;
  /** An empty file of logins: those of whoever runs the tests stay out of it. */
  readonly logins: string;
}

/** Writes what podman and skopeo read of registries. */
export function writeRegistriesFiles(folder: string, mirror: string): RegistriesFiles {
  const files = { configuration: join(folder, 'registries.conf'), logins: join(folder, 'auth.json') };
  const location = new URL(mirror).host;
  writeFileSync(
    files.configuration,
    // Both under docker.io's name and under its own.
    ['docker.io', location]
      .map((prefix) => `[[registry]]\nprefix = "${prefix}"\nlocation = "${location}"\ninsecure = true\n`)
      .join(''),
  );
  writeFileSync(files.logins, '{}\n');
  return files;
}
