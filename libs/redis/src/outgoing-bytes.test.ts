import { expect, test } from 'vitest';
import { encodeCommand } from './encode-command.ts';
import { OutgoingBytes } from './outgoing-bytes.ts';

function whole(chunks: readonly (string | Buffer)[]): string {
  return Buffer.concat(chunks.map((chunk) => Buffer.from(chunk as string))).toString('latin1');
}

test('commands of one turn become one chunk, byte for byte what each says', () => {
  const out = new OutgoingBytes();
  encodeCommand(out, 'get', ['kéy']);
  encodeCommand(out, 'set', ['k', Buffer.from([0, 255, 13, 10]), 'PX', '5']);
  encodeCommand(out, 'ping', []);
  const chunks = out.take();
  expect(chunks).toHaveLength(1);
  expect(whole(chunks)).toBe(Buffer.concat([
    Buffer.from('*2\r\n$3\r\nget\r\n$4\r\nkéy\r\n*5\r\n$3\r\nset\r\n$1\r\nk\r\n$4\r\n'), Buffer.from([0, 255, 13, 10]), Buffer.from('\r\n$2\r\nPX\r\n$1\r\n5\r\n*1\r\n$4\r\nping\r\n'),
  ]).toString('latin1'));
  expect(out.isEmpty).toBe(true);
  expect(out.take()).toEqual([]);
});

test('text alone stays text, and a large value is handed on without being copied', () => {
  const out = new OutgoingBytes();
  encodeCommand(out, 'ping', []);
  expect(out.take()).toEqual(['*1\r\n$4\r\nping\r\n']);
  const large = Buffer.alloc(100_000, 'x');
  encodeCommand(out, 'set', ['k', large]);
  encodeCommand(out, 'set', ['k', large]);
  const chunks = out.take();
  expect(chunks.filter((chunk) => chunk === large)).toHaveLength(2);
  expect(chunks.map((chunk) => chunk.length)).toEqual([29, 100_000, 31, 100_000, 2]);
});
