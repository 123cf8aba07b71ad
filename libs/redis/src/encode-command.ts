import type { OutgoingBytes } from './outgoing-bytes.ts';

/** Writes one command as a RESP array of bulk strings (https://redis.io/docs/latest/develop/reference/protocol-spec/). */
export function encodeCommand(out: OutgoingBytes, name: string, args: readonly (string | Buffer)[]): void {
  let text = `*${args.length + 1}\r\n$${name.length}\r\n${name}\r\n`;
  for (const argument of args) {
    if (typeof argument === 'string') {
      text += `$${Buffer.byteLength(argument)}\r\n${argument}\r\n`;
    } else {
      out.text(`${text}$${argument.length}\r\n`);
      out.bytes(argument);
      text = '\r\n';
    }
  }
  out.text(text);
}
