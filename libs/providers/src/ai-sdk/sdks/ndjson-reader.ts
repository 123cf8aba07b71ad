/** A line longer than this is not a chat event. UTF-16 units. */
const MAX_LINE = 16 * 1024 * 1024;

/** Cuts newline-delimited JSON out of bytes that are cut anywhere. */
export class NdjsonReader {
  readonly #decoder = new TextDecoder();
  #rest = '';

  /**
   * The lines that these bytes completed, without empty ones.
   * @throws RangeError when a line grows without end.
   */
  push(bytes: Uint8Array): string[] {
    const lines = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split('\n');
    this.#rest = lines.pop() ?? '';
    if (this.#rest.length > MAX_LINE) throw new RangeError(`A line of the provider's stream is longer than ${MAX_LINE} characters.`);
    return lines.filter((line) => line.trim() !== '');
  }

  /** What came after the last newline: the last line of a server that does not end it, or a cut one. */
  end(): string | undefined {
    const rest = this.#rest + this.#decoder.decode();
    this.#rest = '';
    return rest.trim() === '' ? undefined : rest;
  }
}
