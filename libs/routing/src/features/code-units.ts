import { WHOLE_TEXT_LIMIT } from './sample-text.ts';

/** Zeros behind the text, so that a look ahead reads no earlier text. */
const MARGIN = 4;

/**
 * The UTF-16 code units of a text in a typed array. Strings come in many inner shapes (one or two bytes a unit, slices, ropes) and `charCodeAt` asks for the shape each time;
 * copied once, every loop over the text is as fast as one over numbers. Scratch space, valid until the next `read`.
 */
export class CodeUnits {
  units: Uint16Array = new Uint16Array(WHOLE_TEXT_LIMIT + MARGIN);
  #bytes: Buffer = Buffer.from(this.units.buffer);

  /** Fills `units` and returns how many of them are the text's; zeros follow. */
  read(text: string): number {
    const { length } = text;
    if (length + MARGIN > this.units.length) {
      this.units = new Uint16Array(2 * length + MARGIN);
      this.#bytes = Buffer.from(this.units.buffer);
    }
    // Little-endian, as every processor that Node runs on.
    this.#bytes.write(text, 'utf16le');
    this.units.fill(0, length, length + MARGIN);
    return length;
  }
}
