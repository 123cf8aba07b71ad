import { closeSync, existsSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const MAX_NOTE_BYTES = 4096;

/** A short text on disk that is replaced in place by one system call, so that a process killed at any moment leaves the old one or the new one. */
export class NoteFile {
  readonly #path: string;
  #descriptor: number | undefined;
  #length = 0;
  #text: string | undefined;

  constructor(folder: string) {
    this.#path = join(folder, 'own.note');
  }

  get isEmpty(): boolean {
    return this.#text === undefined;
  }

  write(text: string): void {
    const bytes = Buffer.from(text);
    if (bytes.length > MAX_NOTE_BYTES) return;
    this.#text = text;
    // Padded with spaces to the longest so far: cutting the file would be a second call.
    this.#length = Math.max(this.#length, bytes.length);
    const padded = Buffer.alloc(this.#length, ' ');
    bytes.copy(padded);
    try {
      this.#descriptor ??= openSync(this.#path, 'w', 0o600);
      writeSync(this.#descriptor, padded, 0, padded.length, 0);
    } catch {
      this.close();
    }
  }

  /** Writes it again where the folder was deleted. */
  restore(): void {
    if (this.#text === undefined || existsSync(this.#path)) return;
    this.close();
    this.write(this.#text);
  }

  close(): void {
    try {
      if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    } catch {
      // Closed is closed.
    }
    this.#descriptor = undefined;
  }
}
