import { serveMessages } from '../lib/background-thread.ts';
import { type DocumentReply, type RawDocument, readDocument } from './document.ts';

serveMessages(
  (raw: RawDocument & Pick<DocumentReply, 'bytes'>): DocumentReply => ({
    bytes: raw.bytes,
    reading: readDocument(raw),
  }),
  ({ bytes }) => [bytes.buffer],
);
