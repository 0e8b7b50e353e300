import { serveMessages } from '../lib/background-thread.ts';
import { replyToMachineWork } from './machine-work.ts';

serveMessages(replyToMachineWork);
