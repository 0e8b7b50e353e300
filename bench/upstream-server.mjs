// A registry that answers every blob with the same number of bytes as fast as it can: what bench/upstream-stream.ts reads from.
import { readFileSync } from 'node:fs';
import { createServer as createHttp } from 'node:http';
import { createServer as createHttps } from 'node:https';

const [sizeText = '0', cert, key] = process.argv.slice(2);
const sizeBytes = Number(sizeText);
const chunk = Buffer.alloc(1024 * 1024, 'x');

function answer(_request, response) {
  response.writeHead(200, { 'content-length': sizeBytes, 'content-type': 'application/octet-stream' });
  let leftBytes = sizeBytes;
  const more = () => {
    while (leftBytes > 0) {
      const part = chunk.subarray(0, Math.min(leftBytes, chunk.length));
      leftBytes -= part.length;
      if (!response.write(part)) return void response.once('drain', more);
    }
    response.end();
  };
  more();
}

const server =
  cert === undefined
    ? createHttp(answer)
    : createHttps({ cert: readFileSync(cert), key: readFileSync(key) }, answer);
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
