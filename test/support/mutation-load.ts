import { fileURLToPath } from 'node:url';

/**
 * Loads the modules that the program imports when it needs them (`lazy` in scripts/mutation-rooms.mjs). Stryker
 * then knows the values that they compute when they are loaded as such, instead of as part of one test.
 */
const files = (process.env['METAHUB_MUTATED_LAZY'] ?? '').split(',').filter((file) => file !== '');
const root = new URL('../../', import.meta.url);
await Promise.all(files.map((file) => import(/* @vite-ignore */ fileURLToPath(new URL(file, root)))));
