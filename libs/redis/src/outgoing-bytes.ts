/** Above this a value is handed on as it is: copying it would cost more than another chunk in the system call. */
const COPIED_BYTES = 32 * 1024;

/** What is to be written at the end of a turn: many small texts and values become one chunk, so that one system call with one piece of memory carries them all. */
export class OutgoingBytes {
  #pieces: (string | Buffer)[] = [];
  #text = '';

  get isEmpty(): boolean {
    return this.#text === '' && this.#pieces.length === 0;
  }

  /** Text that goes as UTF-8. */
  text(text: string): void {
    this.#text += text;
  }

  /** A value, which must not change before it is written. */
  bytes(bytes: Buffer): void {
    this.#pieces.push(this.#text, bytes);
    this.#text = '';
  }

  /** Everything so far as chunks in order; empties itself. */
  take(): (string | Buffer)[] {
    const text = this.#text;
    this.#text = '';
    if (this.#pieces.length === 0) return text === '' ? [] : [text];
    const pieces = this.#pieces;
    if (text !== '') pieces.push(text);
    this.#pieces = [];
    const chunks: (string | Buffer)[] = [];
    let from = 0;
    for (let at = 0; at <= pieces.length; at += 1) {
      const piece = pieces[at];
      if (piece !== undefined && (typeof piece === 'string' || piece.length <= COPIED_BYTES)) continue;
      if (at > from) chunks.push(joined(pieces, from, at));
      if (piece !== undefined) chunks.push(piece);
      from = at + 1;
    }
    return chunks;
  }
}

function joined(pieces: readonly (string | Buffer)[], from: number, to: number): Buffer {
  let length = 0;
  for (let at = from; at < to; at += 1) {
    const piece = pieces[at] ?? '';
    length += typeof piece === 'string' ? Buffer.byteLength(piece) : piece.length;
  }
  const whole = Buffer.allocUnsafe(length);
  let end = 0;
  for (let at = from; at < to; at += 1) {
    const piece = pieces[at] ?? '';
    end += typeof piece === 'string' ? whole.write(piece, end, 'utf8') : piece.copy(whole, end);
  }
  return whole;
}
