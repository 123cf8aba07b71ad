import type { Writable } from 'node:stream';

/**
 * Writes one command as a RESP array of bulk strings (https://redis.io/docs/latest/develop/reference/protocol-spec/).
 * Text goes as one string; large values are handed on without being copied. The stream should be corked.
 */
export function encodeCommand(stream: Writable, name: string, args: readonly (string | Buffer)[]): void {
  let text = `*${args.length + 1}\r\n$${name.length}\r\n${name}\r\n`;
  for (const argument of args) {
    if (typeof argument === 'string') {
      text += `$${Buffer.byteLength(argument)}\r\n${argument}\r\n`;
    } else {
      stream.write(`${text}$${argument.length}\r\n`, 'utf8');
      stream.write(argument);
      text = '\r\n';
    }
  }
  stream.write(text, 'utf8');
}
