import { randomBytes } from 'node:crypto';
import type { SpendLine } from '@pointsman/database';
import type { Spool } from '@pointsman/spool';
import type { Principal } from '../access/principal.ts';
import type { Deployment } from '../snapshot/snapshot.ts';
import type { ExchangeRecord } from './exchange-record.ts';
import { createIsoTime } from './iso-time.ts';

/** One finished request, as the one who ends it knows it. */
export interface FinishedExchange {
  readonly requestId: string;
  readonly traceId: string;
  readonly principal: Pick<Principal, 'keyHash' | 'userId' | 'teamId'>;
  readonly record: ExchangeRecord;
  /** Wall clock, milliseconds since the epoch. */
  readonly endedAtMs: number;
  /** Milliseconds, with a fraction. */
  readonly durationMs: number;
  readonly tags?: readonly string[] | undefined;
}

export interface SpendLedger {
  /**
   * Writes one line of the ledger to the spool: a few microseconds, on disk before it returns. False when the spool could not keep it.
   * Books what it is told, each time it is called: calling it once per request is the caller's duty.
   */
  book(finished: FinishedExchange): boolean;
}

export interface SpendLedgerOptions {
  readonly spool: Pick<Spool, 'append'>;
  /** Prefix of the ids of this process. Default: 96 random bits. */
  readonly idPrefix?: string;
}

/** Names that clients choose are cut here: a ledger is no place for a novel. */
const MAX_TEXT = 256;
const MAX_TAGS = 64;
/** Counts go into 32-bit columns; what a provider says beyond that is not a count. */
const MAX_COUNT = 2 ** 31 - 1;
/** A text that JSON writes as it is: printable ASCII without quote and backslash. */
const PLAIN = /^[ !#-[\]-~]*$/;

/** The lines of the spend ledger (`SpendLine` of the database), one per finished request. */
export function createSpendLedger({ spool, idPrefix = randomBytes(12).toString('base64url') }: SpendLedgerOptions): SpendLedger {
  const isoTime = createIsoTime();
  let counter = 0;
  // The parts of a line that are the same from request to request.
  const ofPrincipal = new WeakMap<FinishedExchange['principal'], string>();
  const ofDeployment = new WeakMap<Deployment, string>();

  const nextId = (): string => {
    counter += 1;
    return `${idPrefix}.${counter.toString(36)}`;
  };

  const principalPart = (principal: FinishedExchange['principal']): string => {
    let part = ofPrincipal.get(principal);
    if (part === undefined) {
      part = `,"api_key":${text(principal.keyHash)},"user_id":${textOrNull(principal.userId)},"team_id":${textOrNull(principal.teamId)}`;
      ofPrincipal.set(principal, part);
    }
    return part;
  };

  const deploymentPart = (deployment: Deployment | undefined): string => {
    if (deployment === undefined) return ',"model":null,"model_id":null,"provider":null';
    let part = ofDeployment.get(deployment);
    if (part === undefined) {
      const { model, id, provider } = deployment.configured;
      part = `,"model":${text(model)},"model_id":${text(id)},"provider":${text(provider)}`;
      ofDeployment.set(deployment, part);
    }
    return part;
  };

  return {
    book({ requestId, traceId, principal, record, endedAtMs, durationMs, tags }) {
      const { usage, ttftMs } = record;
      const startedAtMs = endedAtMs - durationMs;
      return spool.append(
        `{"id":"${nextId()}","request_id":${text(requestId)},"trace_id":${text(traceId)},"call_type":"${record.operation}"${principalPart(principal)}`
        + `,"end_user":${textOrNull(record.endUser)},"requested_model":${text(record.requestedModel)},"model_group":${text(record.group)}${deploymentPart(record.deployment)}`
        + `,"spend":${amount(record.costUsd)},"prompt_tokens":${count(usage?.promptTokens)},"completion_tokens":${count(usage?.completionTokens)}`
        + `,"total_tokens":${count(usage?.totalTokens)},"cached_tokens":${count(usage?.cachedTokens)},"reasoning_tokens":${count(usage?.reasoningTokens)}`
        + `,"usage_estimated":${String(record.usageEstimated)},"cache_hit":${String(record.cacheHit)},"stream":${String(record.stream)}`
        + `,"status":"${statusOf(record)}","error_code":${textOrNull(errorCodeOf(record))},"tags":${listOf(tags)}`
        + `,"start_time":"${isoTime(startedAtMs)}","completion_start_time":${ttftMs === undefined ? 'null' : `"${isoTime(startedAtMs + ttftMs)}"`},"end_time":"${isoTime(endedAtMs)}"}`,
      );
    },
  };
}

/** `partial`: the client got content and then no proper end. `ttftMs` is set when the first of it was written. */
function statusOf({ error, clientGone, ttftMs }: ExchangeRecord): SpendLine['status'] {
  if (error === undefined && !clientGone) return 'success';
  return ttftMs === undefined ? 'failure' : 'partial';
}

function errorCodeOf({ error, clientGone }: ExchangeRecord): string | undefined {
  return error?.code ?? (clientGone ? 'client_gone' : undefined);
}

/** A JSON string. What clients choose may hold anything; a NUL or half a surrogate pair would make the database refuse the row, and the request would be free. */
function text(value: string): string {
  return value.length <= MAX_TEXT && PLAIN.test(value) ? `"${value}"` : JSON.stringify(clean(value));
}

function textOrNull(value: string | undefined): string {
  return value === undefined ? 'null' : text(value);
}

function clean(value: string): string {
  return value.slice(0, MAX_TEXT).replaceAll('\0', '\uFFFD').toWellFormed();
}

function listOf(tags: readonly string[] | undefined): string {
  if (tags === undefined || tags.length === 0) return '[]';
  return `[${tags.slice(0, MAX_TAGS).map(text).join(',')}]`;
}

function count(value: number | undefined): string {
  if (value === undefined || !(value > 0)) return '0';
  return String(value > MAX_COUNT ? MAX_COUNT : Math.trunc(value));
}

function amount(usd: number | undefined): string {
  return usd !== undefined && usd > 0 && usd < Infinity ? String(usd) : '0';
}
