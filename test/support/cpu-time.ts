/** The CPU time of the work, in milliseconds. Unlike wall-clock time it is the same on a busy machine. */
export function cpuTimeMs(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}
