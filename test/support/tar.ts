const BLOCK = 512;

export interface TarFile {
  /** Relative, without a leading slash; at most 100 bytes. */
  readonly path: string;
  readonly content: Buffer;
  readonly mode?: number;
}

function field(header: Buffer, offset: number, length: number, value: number): void {
  header.write(`${value.toString(8).padStart(length - 1, '0')}\0`, offset, length, 'latin1');
}

function headerOf({ path, content, mode = 0o755 }: TarFile): Buffer {
  const header = Buffer.alloc(BLOCK);
  header.write(path, 0, 100, 'utf8');
  field(header, 100, 8, mode);
  field(header, 108, 8, 0); // owner
  field(header, 116, 8, 0); // group
  field(header, 124, 12, content.length);
  field(header, 136, 12, 0); // modified: always the same bytes for the same files
  header.write('        0', 148, 'latin1'); // the sum counts its own field as spaces; 0 is a plain file
  header.write('ustar\x0000', 257, 'latin1');
  let sum = 0;
  for (const byte of header) sum += byte;
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 8, 'latin1');
  return header;
}

/** A tar archive of plain files (POSIX ustar), always with the same bytes. */
export function tarOf(files: readonly TarFile[]): Buffer {
  const parts = files.flatMap((file) => [
    headerOf(file),
    file.content,
    Buffer.alloc((BLOCK - (file.content.length % BLOCK)) % BLOCK),
  ]);
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)]);
}
