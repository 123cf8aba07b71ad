import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Lease } from '@pointsman/live-value';
import type { RequestSpan } from '@pointsman/telemetry';
import type { Principal } from '../access/principal.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { Work } from './drain-gate.ts';

/** How errors of a route are shaped. */
export type ErrorShape = 'openai' | 'anthropic';

/** A request id a client may choose: short and printable, so that it is safe in headers, logs and traces. */
const CLIENT_REQUEST_ID = /^[\w.:-]{1,128}$/;

/** What works on a reply and must know when nobody waits for it any more. */
export interface Runner {
  /** The client is gone before the reply was complete. Called once. */
  clientGone(): void;
  /** Ends the reply with a defined end for the client. */
  endNow(): void;
}

/** One request from its first byte to its last: what every step of the walk needs to know, and nothing of how Express calls it. */
export class Exchange implements Work {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  /** The route's pattern, a closed set: what metrics call it. */
  readonly route: string;
  readonly errorShape: ErrorShape;
  readonly requestId: string;
  readonly trace: RequestSpan;
  gateSlot = -1;
  /** Monotonic milliseconds. */
  readonly startedAt: number = performance.now();
  readonly #lease: Lease<Snapshot>;
  #principal: Principal | undefined;
  /** Whoever works on the reply now. */
  runner: Runner | undefined;
  /** Headers about the caller's limits for the reply: name, value, name, value. */
  admissionHeaders: readonly string[] | undefined;

  constructor(req: IncomingMessage, res: ServerResponse, parts: { route: string; errorShape: ErrorShape; lease: Lease<Snapshot>; trace: RequestSpan }) {
    this.req = req;
    this.res = res;
    this.route = parts.route;
    this.errorShape = parts.errorShape;
    this.trace = parts.trace;
    this.#lease = parts.lease;
    const wanted = req.headers['x-request-id'];
    this.requestId = typeof wanted === 'string' && CLIENT_REQUEST_ID.test(wanted) ? wanted : randomUUID();
  }

  get snapshot(): Snapshot {
    return this.#lease.value;
  }

  get principal(): Principal {
    if (this.#principal === undefined) throw new Error('principal read before authentication');
    return this.#principal;
  }

  authenticatedAs(principal: Principal): void {
    this.#principal = principal;
  }

  get isAuthenticated(): boolean {
    return this.#principal !== undefined;
  }

  /** Milliseconds since the request began, with a fraction. */
  elapsedMs(): number {
    return performance.now() - this.startedAt;
  }

  endNow(): void {
    if (this.runner === undefined) this.res.destroy();
    else this.runner.endNow();
  }

  release(): void {
    this.#lease.release();
  }
}
