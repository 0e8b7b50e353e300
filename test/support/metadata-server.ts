// Serves the metadata services of three clouds at their own address, and prints a line once it does: tsx
// metadata-server.ts KEYS, a file with the JSON of MetadataKeys.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createMetadataService, INSTANCE, type MetadataKeys } from './metadata-service.ts';

const keys = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as MetadataKeys;
const { handler } = await createMetadataService(INSTANCE, keys);
createServer(handler).listen(80, '169.254.169.254', () => process.stdout.write('listening\n'));
