import { describe, expect, test } from 'vitest';
import { HttpMessageReader } from './http-message-reader.ts';

interface Message {
  readonly head: string;
  body: string;
  isWhole: boolean;
}

function read(wire: string, pieceBytes: number): { messages: Message[]; reader: HttpMessageReader } {
  const messages: Message[] = [];
  const reader = new HttpMessageReader({
    onHead: (head) => void messages.push({ head, body: '', isWhole: false }),
    onBody: (piece) => {
      const message = messages.at(-1);
      if (message !== undefined) message.body += piece.toString();
    },
    onEnd: () => {
      const message = messages.at(-1);
      if (message !== undefined) message.isWhole = true;
    },
  });
  const bytes = Buffer.from(wire);
  for (let at = 0; at < bytes.length; at += pieceBytes) reader.push(bytes.subarray(at, at + pieceBytes));
  return { messages, reader };
}

const sized = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello';
const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\nA;x=y\r\nlo, world!\r\n0\r\nTrailer: 1\r\n\r\n';

describe.each([1, 2, 3, 7, 1000])('read in pieces of %i bytes', (pieceBytes) => {
  test('sized and chunked replies on one connection are told apart and unframed', () => {
    const { messages, reader } = read(`${sized}${chunked}${sized}`, pieceBytes);
    expect(messages.map(({ body, isWhole }) => [body, isWhole])).toEqual([['hello', true], ['hello, world!', true], ['hello', true]]);
    expect(reader.isIdle).toBe(true);
  });

  test('requests without a body end with their head', () => {
    const { messages } = read('GET / HTTP/1.1\r\nhost: a\r\n\r\nPOST /x HTTP/1.1\r\ncontent-length: 0\r\n\r\n', pieceBytes);
    expect(messages.map(({ head, isWhole }) => [head.split('\r\n')[0], isWhole])).toEqual([['get / http/1.1', true], ['post /x http/1.1', true]]);
  });

  test('a reply that the connection cuts is not whole', () => {
    const { messages, reader } = read(chunked.slice(0, -12), pieceBytes);
    expect(reader.close()).toBe(false);
    expect(messages[0]?.isWhole).toBe(false);
  });

  test('a reply without a length ends with the connection', () => {
    const { messages, reader } = read('HTTP/1.1 200 OK\r\n\r\nall of it', pieceBytes);
    expect(messages[0]?.isWhole).toBe(false);
    expect(reader.close()).toBe(true);
    expect(messages[0]).toMatchObject({ body: 'all of it', isWhole: true });
  });
});

test('a chunk that is longer than it said is refused', () => {
  expect(() => read('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhello\r\n', 1000)).toThrow('longer than it said');
});
