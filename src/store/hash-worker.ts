import { parentPort } from 'node:worker_threads';
import { createHashJobs, type HashOrder } from './hash-jobs.ts';

if (parentPort !== null) {
  const port = parentPort;
  const deal = createHashJobs();
  port.on('message', (order: HashOrder) => {
    const reply = deal(order);
    if (reply) port.postMessage(reply);
  });
}
