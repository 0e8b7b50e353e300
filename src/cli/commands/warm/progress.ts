import { sizeText } from '../../../lib/text.ts';
import { columnsOf } from '../../output.ts';

/** A line that shows how far a download is, on a terminal only. */
export interface ProgressLine {
  begin(totalBytes: number): void;
  readonly add: (count: number) => void;
  /** Takes the line away. */
  done(): void;
}

const BAR_WIDTH = 20;
const EVERY_MS = 100;

/** `[#####---------------] 25 %  40.0 MiB of 160 MiB  docker.io/library/alpine:latest`. */
export function progressText(name: string, doneBytes: number, totalBytes: number, width: number): string {
  const share = totalBytes === 0 ? 1 : Math.min(1, doneBytes / totalBytes);
  const filled = Math.floor(share * BAR_WIDTH);
  const bar = `${'#'.repeat(filled)}${'-'.repeat(BAR_WIDTH - filled)}`;
  const percent = `${Math.floor(share * 100)}`.padStart(3);
  return `[${bar}] ${percent} %  ${sizeText(doneBytes)} of ${sizeText(totalBytes)}  ${name}`.slice(0, width);
}

export function createProgressLine(stream: NodeJS.WriteStream, name: string): ProgressLine {
  if (!stream.isTTY) return { begin: () => {}, add: () => {}, done: () => {} };
  let totalBytes = 0;
  let doneBytes = 0;
  let drawnMs = Number.NEGATIVE_INFINITY;
  const draw = () => {
    drawnMs = performance.now();
    stream.write(`\r\x1b[2K${progressText(name, doneBytes, totalBytes, columnsOf(stream) - 1)}`);
  };
  return {
    begin: (bytes) => {
      totalBytes = bytes;
      draw();
    },
    add: (count) => {
      doneBytes += count;
      if (performance.now() - drawnMs >= EVERY_MS) draw();
    },
    done: () => void stream.write('\r\x1b[2K'),
  };
}
