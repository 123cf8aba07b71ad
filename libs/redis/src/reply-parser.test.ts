import { expect, test } from 'vitest';
import { ReplyError, ReplyParser, type Reply } from './reply-parser.ts';

const WIRE = '+OK\r\n$5\r\nh\u00e9\r\n\r\n:-12\r\n$-1\r\n*4\r\n$1\r\na\r\n*2\r\n:1\r\n-WRONGTYPE no\r\n*-1\r\n$0\r\n\r\n-NOSCRIPT No matching script.\r\n*0\r\n';
const REPLIES = ['OK', 'h\u00e9\r\n', -12, null, ['a', [1, new ReplyError('WRONGTYPE no')], null, ''], new ReplyError('NOSCRIPT No matching script.'), []];

test('replies are the same wherever the bytes are cut', () => {
  const bytes = Buffer.from(WIRE);
  for (let size = 1; size <= bytes.length; size += 1) {
    const replies: Reply[] = [];
    const parser = new ReplyParser({ nextIsBinary: () => false, onReply: (reply) => replies.push(reply) });
    for (let from = 0; from < bytes.length; from += size) parser.push(bytes.subarray(from, from + size));
    expect(replies, `chunks of ${size}`).toEqual(REPLIES);
  }
});

test('bytes stay bytes where they are asked for', () => {
  const replies: Reply[] = [];
  const parser = new ReplyParser({ nextIsBinary: () => replies.length === 1, onReply: (reply) => replies.push(reply) });
  const value = Buffer.from([0, 255, 13, 10, 36]);
  parser.push(Buffer.concat([Buffer.from('$1\r\na\r\n$5\r\n'), value, Buffer.from('\r\n$1\r\nb\r\n')]));
  expect(replies).toEqual(['a', value, 'b']);
});

test.each(['HTTP/1.1 400 Bad Request\r\n', ':1a\r\n', '$99999999999\r\n'])('%j is not taken for a reply', (text) => {
  const parser = new ReplyParser({ nextIsBinary: () => false, onReply: () => undefined });
  expect(() => parser.push(Buffer.from(text))).toThrow(/not a Redis server|beyond all bounds/);
});
