import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './processes.ts';
import type { Workplace } from './workplace.ts';

// The functions by which Node.js opens files. Once armed, the first open of the file returns when the gate file is
// removed.
const SOURCE = `#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void hold(const char *path) {
  const char *held = getenv("HELD_FILE"), *armed = getenv("HELD_ARMED"), *begun = getenv("HELD_BEGUN");
  if (!held || !armed || !begun || strcmp(path, held) != 0 || rename(armed, begun) != 0) return;
  while (access(begun, F_OK) == 0) usleep(1000);
}

#define OPENS(name) \\
  int name(const char *path, int flags, ...) { \\
    static int (*real)(const char *, int, mode_t); \\
    if (!real) real = dlsym(RTLD_NEXT, #name); \\
    va_list rest; \\
    va_start(rest, flags); \\
    int file = real(path, flags, va_arg(rest, mode_t)); \\
    va_end(rest); \\
    hold(path); \\
    return file; \\
  }
OPENS(open)
OPENS(open64)
`;

export interface HeldOpen {
  readonly env: Readonly<Record<string, string>>;
  /** Delays the next open of the file. */
  arm(): void;
  /** Exists while an open is delayed. Removing it lets the open return. */
  readonly begun: string;
}

/** Builds a library that makes a process slow to read a file: the file is open, and nothing has been read yet. */
export async function buildHeldOpen(workplace: Workplace, file: string): Promise<HeldOpen> {
  const folder = workplace.folder('held-open');
  const [source, library, armed, begun] = ['hold.c', 'hold.so', 'armed', 'begun'].map((name) =>
    join(folder, name),
  ) as [string, string, string, string];
  writeFileSync(source, SOURCE);
  await run('gcc', ['-shared', '-fPIC', '-O1', '-o', library, source, '-ldl']);
  return {
    env: { LD_PRELOAD: library, HELD_FILE: file, HELD_ARMED: armed, HELD_BEGUN: begun },
    arm: () => writeFileSync(armed, ''),
    begun,
  };
}
