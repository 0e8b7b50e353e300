import { serveMessages } from '../../lib/background-thread.ts';
import { replyTo } from './reading.ts';

serveMessages(replyTo);
