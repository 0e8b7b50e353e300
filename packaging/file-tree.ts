import {
  chmodSync,
  copyFileSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

/** A tree of files that becomes a package. Paths are those on the target system. */
export class FileTree {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
    mkdirSync(root, { recursive: true, mode: 0o755 });
  }

  write(path: string, content: string | Buffer, mode = 0o644): void {
    writeFileSync(this.#place(path), content);
    chmodSync(join(this.root, path), mode);
  }

  copy(path: string, source: string, mode = 0o644): void {
    copyFileSync(source, this.#place(path));
    chmodSync(join(this.root, path), mode);
  }

  link(path: string, target: string): void {
    symlinkSync(target, this.#place(path));
  }

  folder(path: string, mode = 0o755): void {
    mkdirSync(join(this.root, path), { recursive: true });
    chmodSync(join(this.root, path), mode);
  }

  /** Returns the paths of all files and links, sorted by name. */
  files(): readonly string[] {
    return readdirSync(this.root, { recursive: true, withFileTypes: true })
      .filter((entry) => !entry.isDirectory())
      .map((entry) => join(entry.parentPath, entry.name).slice(this.root.length + 1))
      .sort();
  }

  /** Sets the time of all files, in seconds since 1970. */
  setTimes(seconds: number): void {
    for (const name of readdirSync(this.root, { recursive: true })) {
      lutimesSync(join(this.root, String(name)), seconds, seconds);
    }
    lutimesSync(this.root, seconds, seconds);
  }

  #place(path: string): string {
    const full = join(this.root, path);
    // Everybody may read the folders of a package, whatever the umask of the build is.
    for (const parent of parents(path)) this.folder(parent);
    return full;
  }
}

function parents(path: string): readonly string[] {
  const parent = dirname(path);
  return parent === '.' || parent === '/' ? [] : [...parents(parent), parent];
}
