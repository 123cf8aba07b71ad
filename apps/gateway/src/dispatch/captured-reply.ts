import type { AppError } from '@pointsman/errors';
import type { ReplyOut } from './reply-writer.ts';

/** Takes the reply of a call that is part of a request: nothing of it goes to the client. JSON only. */
export class CapturedReply implements ReplyOut {
  headSent = false;
  /** The whole reply in the format that was asked for; undefined where there was an error. */
  text: string | undefined;

  sendJson(text: string): void {
    this.headSent = true;
    this.text = text;
  }

  sendError(_error: AppError): void {
    this.headSent = true;
  }

  setHeaders(): void {
    // nobody reads them
  }

  startStream(): void {
    this.headSent = true;
  }

  write(): boolean {
    return true;
  }

  endWhole(): void {
    // a stream was not asked for
  }

  end(): void {
    // a stream was not asked for
  }
}
