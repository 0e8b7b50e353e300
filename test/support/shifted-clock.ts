import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './processes.ts';
import type { Workplace } from './workplace.ts';

// The functions by which Node.js reads the time of day; monotonic clocks are unchanged.
const SOURCE = `#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static time_t shift(void) { const char *s = getenv("CLOCK_SHIFT_SECONDS"); return s ? atol(s) : 0; }

int clock_gettime(clockid_t id, struct timespec *out) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  int status = real(id, out);
  if (status == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) out->tv_sec += shift();
  return status;
}
int gettimeofday(struct timeval *out, void *zone) {
  static int (*real)(struct timeval *, void *);
  if (!real) real = dlsym(RTLD_NEXT, "gettimeofday");
  int status = real(out, zone);
  if (status == 0) out->tv_sec += shift();
  return status;
}
time_t time(time_t *out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out) *out = now.tv_sec;
  return now.tv_sec;
}
`;

/** Builds a library that shifts a process's wall clock. Resolves with the environment for it. */
export async function buildClockShift(
  workplace: Workplace,
): Promise<(seconds: number) => Readonly<Record<string, string>>> {
  const folder = workplace.folder('clock');
  const [source, library] = [join(folder, 'shift.c'), join(folder, 'shift.so')];
  writeFileSync(source, SOURCE);
  await run('gcc', ['-shared', '-fPIC', '-O1', '-o', library, source, '-ldl']);
  return (seconds) => ({ LD_PRELOAD: library, CLOCK_SHIFT_SECONDS: String(seconds) });
}
