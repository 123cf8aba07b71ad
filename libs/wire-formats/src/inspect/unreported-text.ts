/** Text past this many UTF-16 units is only measured. */
const MAX_KEPT = 1_048_576;
/** Pieces are joined when this much has gathered: a slice keeps the whole network chunk alive that it was cut from. */
const JOIN_AT = 4_096;

/**
 * What a stream has said since its provider last said how many tokens that was: content, reasoning, refusals and the arguments of tool calls.
 * Kept so that a stream whose usage never comes can be billed; empty again as soon as usage has come.
 */
export class UnreportedText {
  #joined: string[] = [];
  #pieces: string[] = [];
  #pending = 0;
  #kept = 0;
  #dropped = 0;
  /** Tokens that the latest usage counted for what was said before. */
  reportedTokens = 0;

  add(piece: string): void {
    if (this.#kept + piece.length > MAX_KEPT) {
      this.#dropped += piece.length;
      return;
    }
    this.#kept += piece.length;
    this.#pieces.push(piece);
    this.#pending += piece.length;
    if (this.#pending > JOIN_AT) this.#join();
  }

  /** What may be text in a parsed event. */
  addUnknown(piece: unknown): void {
    if (typeof piece === 'string' && piece !== '') this.add(piece);
  }

  /** The provider has counted everything so far. A count of nothing counts nothing. */
  reported(completionTokens: number): void {
    if (completionTokens <= 0) return;
    this.reportedTokens = completionTokens;
    if (this.#kept === 0) return;
    this.#joined = [];
    this.#pieces = [];
    this.#pending = 0;
    this.#kept = 0;
    this.#dropped = 0;
  }

  get text(): string {
    if (this.#pieces.length > 0) this.#join();
    return this.#joined.length === 1 ? this.#joined[0] ?? '' : this.#joined.join('');
  }

  get droppedCharacters(): number {
    return this.#dropped;
  }

  #join(): void {
    this.#joined.push(this.#pieces.join(''));
    this.#pieces = [];
    this.#pending = 0;
  }
}
