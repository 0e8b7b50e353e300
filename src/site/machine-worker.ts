import { parentPort } from 'node:worker_threads';
import { type MachineWork, replyToMachineWork } from './machine-work.ts';

if (parentPort !== null) {
  const port = parentPort;
  port.on('message', (work: MachineWork) => port.postMessage(replyToMachineWork(work)));
}
