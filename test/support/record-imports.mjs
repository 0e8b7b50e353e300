// Preloaded into a child: appends what is imported, `specifier <- importer`, to the file METAHUB_IMPORTS names.
import { appendFileSync } from 'node:fs';
import { register } from 'node:module';

const file = process.env.METAHUB_IMPORTS;

export function resolve(specifier, context, next) {
  if (context.parentURL?.includes('/src/')) appendFileSync(file, `${specifier} <- ${context.parentURL}\n`);
  return next(specifier, context);
}

// The hooks run in a thread of their own, which loads this file too and must not register them again.
const { isMainThread } = await import('node:worker_threads');
if (isMainThread) register(import.meta.url);
