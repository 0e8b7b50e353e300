import { parentPort } from 'node:worker_threads';
import { type JudgeRequest, replyTo } from './judge.ts';

const port = parentPort;
port?.on('message', (request: JudgeRequest) => port.postMessage(replyTo(request)));
