import { parentPort } from 'node:worker_threads';
import { readTagPages, type TagsRequest } from './tag-pages.ts';

if (parentPort !== null) {
  const port = parentPort;
  port.on('message', (request: TagsRequest) => port.postMessage(readTagPages(request)));
}
