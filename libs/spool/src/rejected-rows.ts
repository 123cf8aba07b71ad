import { appendFileSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** Processes that restart for ever, each with one torn line, must not fill a folder with small files either. */
const MAX_FILES = 200;

/** The folder where rows go that nobody takes, for somebody to look at. Bounded: the oldest files make room. */
export class RejectedRows {
  readonly #folder: string;
  readonly #name: string;
  readonly #maxBytes: number;
  #file = 1;
  #fileBytes = 0;

  constructor(directory: string, name: string, maxBytes: number) {
    this.#folder = join(directory, 'rejected');
    this.#name = name;
    this.#maxBytes = maxBytes;
  }

  /** Keeps lines as they are. Returns false when the disk refuses. */
  add(lines: readonly string[]): boolean {
    const text = `${lines.join('\n')}\n`;
    const bytes = Buffer.byteLength(text);
    if (this.#fileBytes > 0 && this.#fileBytes + bytes > this.#maxBytes / 4) {
      this.#file += 1;
      this.#fileBytes = 0;
    }
    this.#fileBytes += bytes;
    return this.#append(`${this.#name}-${String(this.#file)}.jsonl`, text, bytes);
  }

  /** Keeps bytes that are no whole line. Returns false when the disk refuses. */
  addTorn(bytes: Buffer): boolean {
    return this.#append(`${this.#name}.torn`, Buffer.concat([bytes, Buffer.from('\n')]), bytes.length + 1);
  }

  #append(name: string, text: string | Buffer, bytes: number): boolean {
    if (bytes > this.#maxBytes) return false;
    try {
      mkdirSync(this.#folder, { recursive: true });
      this.#makeRoom(bytes);
      appendFileSync(join(this.#folder, name), text, { mode: 0o600 });
      return true;
    } catch {
      return false;
    }
  }

  #makeRoom(bytes: number): void {
    const files = readdirSync(this.#folder).flatMap((name) => {
      const path = join(this.#folder, name);
      const found = statSync(path, { throwIfNoEntry: false });
      return found === undefined ? [] : [{ path, size: found.size, at: found.mtimeMs }];
    }).sort((a, b) => a.at - b.at);
    let total = files.reduce((sum, file) => sum + file.size, bytes);
    for (const [index, file] of files.entries()) {
      if (total <= this.#maxBytes && files.length - index < MAX_FILES) break;
      rmSync(file.path, { force: true });
      total -= file.size;
    }
  }
}
