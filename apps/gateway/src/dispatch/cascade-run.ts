import type { WireFormat } from '@pointsman/providers';
import type { Candidate, Cascade, Verdict } from '@pointsman/routing';
import type { Deployment } from '../snapshot/snapshot.ts';
import type { Attempt } from './attempt.ts';
import { readReply } from './read-reply.ts';
import type { ReplyShape } from './reply-shape.ts';

/** A whole reply that nobody has seen: what the client gets where it is accepted, or where nobody dearer can answer. */
export interface KeptReply {
  readonly deployment: Deployment;
  readonly shape: ReplyShape;
  readonly isStream: boolean;
  /** Text in the client's format as it came. */
  readonly pieces: readonly string[];
  /** What the client's format ends with. */
  readonly end: string;
  readonly finishReason: string | undefined;
  readonly responseId: string | undefined;
}

export interface CascadeQuestion {
  readonly cascade: Cascade;
  readonly format: WireFormat;
  readonly question: () => string;
  readonly wantsJson: () => boolean;
}

/** What a cascade remembers of one request: the answer that is held back, and the one that was not good enough. */
export class CascadeRun {
  readonly #question: CascadeQuestion;
  /** The attempt whose reply is held back. */
  #holding: Attempt | undefined;
  #pieces: string[] = [];
  #length = 0;
  #answers = 0;
  /** The latest whole reply that was looked at. */
  kept: KeptReply | undefined;
  /** Whether somebody dearer was asked. */
  escalated = false;

  constructor(question: CascadeQuestion) {
    this.#question = question;
  }

  /** Called before an attempt starts: its reply is held back where somebody dearer may be asked after it. */
  begin(attempt: Attempt, candidate: Candidate): void {
    const { maxAnswers, dearerThan } = this.#question.cascade;
    this.#pieces = [];
    this.#length = 0;
    this.#holding = this.#answers + 1 < maxAnswers && dearerThan.call(this.#question.cascade, candidate).length > 0 ? attempt : undefined;
  }

  holds(attempt: Attempt): boolean {
    return this.#holding === attempt;
  }

  /** Keeps a piece of the stream; false when there is more than may be held back. */
  add(text: string): boolean {
    this.#pieces.push(text);
    this.#length += text.length;
    return this.#length <= this.#question.cascade.holdLength;
  }

  /** The stream so far, held back no longer. */
  takeAll(): readonly string[] {
    const pieces = this.#pieces;
    this.#stopHolding();
    return pieces;
  }

  /** The attempt whose reply was held back broke: nothing of it was seen. */
  drop(): void {
    this.#stopHolding();
  }

  #stopHolding(): void {
    this.#holding = undefined;
    this.#pieces = [];
    this.#length = 0;
  }

  /** The reply is whole. */
  keep(attempt: Attempt, deployment: Deployment, { end, isStream }: { readonly end: string; readonly isStream: boolean }): KeptReply {
    const { finishReason, responseId, shape } = attempt;
    this.kept = { deployment, shape, isStream, pieces: this.takeAll(), end, finishReason, responseId };
    this.#answers += 1;
    return this.kept;
  }

  /** Who may be asked after the candidate whose reply was kept. */
  dearer({ deployment }: KeptReply): readonly Candidate[] {
    return this.#question.cascade.dearerThan(deployment.candidate);
  }

  /** Looks at a reply. Never rejects: a look that fails or takes too long accepts it, since it is an answer. */
  async judge(kept: KeptReply): Promise<Verdict> {
    const { cascade, format, question, wantsJson } = this.#question;
    const [next] = this.dearer(kept);
    if (next === undefined) return FAILED;
    const { text, isToolCall } = readReply(format, kept.pieces.join('') + kept.end, kept.isStream);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<Verdict>((resolve) => {
      timer = setTimeout(() => resolve(FAILED), cascade.verdictTimeoutMs);
    });
    try {
      const verdict = Promise.resolve(cascade.judge({ question: question(), answer: text, finishReason: kept.finishReason, isToolCall, wantsJson: wantsJson(), by: kept.deployment.candidate, next }));
      return await Promise.race([verdict, late]);
    } catch {
      return FAILED;
    } finally {
      clearTimeout(timer);
    }
  }
}

const FAILED: Verdict = { escalate: false, reason: 'verdict_failed', gain: undefined, modelVersion: '' };
/** Of a stream that is longer than what is held back. */
export const TOO_LONG: Verdict = { escalate: false, reason: 'too_long', gain: undefined, modelVersion: '' };
