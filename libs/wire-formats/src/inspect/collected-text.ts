const MAX_COLLECTED_CHARACTERS = 1024 * 1024;

/** The text of a reply so far, kept only for a stream that another provider may have to continue. */
export class CollectedText {
  readonly #wanted: boolean;
  #text = '';
  /** Something that text cannot carry on: a tool call, reasoning, a refusal, a second choice, or more text than is kept. */
  #cannotContinue = false;

  constructor(wanted: boolean) {
    this.#wanted = wanted;
  }

  get wanted(): boolean {
    return this.#wanted;
  }

  get text(): string {
    return this.#text;
  }

  get canContinue(): boolean {
    return this.#wanted && !this.#cannotContinue;
  }

  add(piece: string): void {
    if (!this.#wanted || this.#cannotContinue) return;
    if (this.#text.length + piece.length > MAX_COLLECTED_CHARACTERS) this.#cannotContinue = true;
    else this.#text += piece;
  }

  sawMoreThanText(): void {
    this.#cannotContinue = true;
  }
}
