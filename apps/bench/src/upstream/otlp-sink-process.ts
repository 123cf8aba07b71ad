import { createServer, type AddressInfo } from 'node:net';
import { HttpMessageReader } from '../load/http-message-reader.ts';

/**
 * Where the spans of a contestant go: accepts every OTLP/HTTP export, looks at nothing, counts exports and bytes.
 * `GET /` tells the counts, so that a report can say that spans did arrive.
 */
let exports = 0;
let bytes = 0;

const accepted = Buffer.from('HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n');

const server = createServer({ noDelay: true }, (socket) => {
  let isPost = false;
  const reader = new HttpMessageReader({
    onHead(head) {
      isPost = head.startsWith('post ');
    },
    onBody(piece) {
      bytes += piece.length;
    },
    onEnd() {
      if (isPost) {
        exports += 1;
        socket.write(accepted);
        return;
      }
      const body = JSON.stringify({ exports, bytes });
      socket.write(`HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
    },
  });
  socket.on('data', (data) => {
    try {
      reader.push(data);
    } catch {
      socket.destroy();
    }
  });
  socket.on('error', () => socket.destroy());
});
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  console.log(JSON.stringify({ msg: 'listening', url: `http://127.0.0.1:${port}` }));
});
