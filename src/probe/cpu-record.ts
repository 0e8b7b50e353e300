/** One processor's lines of /proc/cpuinfo, by key. */
export type CpuRecord = ReadonlyMap<string, string>;

const RECORD_END = /\n[ \t]*\n/;

/** Whether the first record is there to its end. */
export function hasWholeRecord(text: string): boolean {
  return RECORD_END.test(text);
}

/** The lines up to the first empty one; the rest of the file is not looked at. */
export function firstCpuRecord(text: string): CpuRecord {
  const end = RECORD_END.exec(text)?.index ?? text.length;
  return parseCpuRecord(text.slice(0, end));
}

function parseCpuRecord(text: string): CpuRecord {
  const record = new Map<string, string>();
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':');
    const key = line.slice(0, colon).trim();
    const value = line.slice(colon + 1).trim();
    // The first line of a key stands: a record that was cut off may be followed by another's.
    if (colon > 0 && value !== '' && !record.has(key)) record.set(key, value);
  }
  return record;
}
