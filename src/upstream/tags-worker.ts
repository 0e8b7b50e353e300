import { serveMessages } from '../lib/background-thread.ts';
import { readTagPages } from './tag-pages.ts';

serveMessages(readTagPages);
