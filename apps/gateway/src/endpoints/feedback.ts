import { AppError } from '@pointsman/errors';
import { feedbackFields, parseFields } from '@pointsman/schemas';
import { attribute, type Span } from '@pointsman/telemetry';
import type { Exchange } from '../http/exchange.ts';
import { parseJsonBody } from '../http/parse-json-body.ts';
import { sendJson } from '../http/send-json.ts';
import { serveWithBody, type Handler } from '../http/serve.ts';
import type { GatewayContext } from './gateway-context.ts';

const MAX_FEEDBACK_BYTES = 16 * 1024;

/**
 * `POST /v1/feedback`: what a reply was worth, by its `x-request-id`. Answers 202: the word goes out as a span of its own (`router.feedback`), which trace-exporter
 * joins to the row of the request; nothing is waited for here, so feedback may reach another replica than the request did, and days later.
 * Any key may speak of any request, since ids cannot be guessed; whose key it was goes with it. What a person wrote stays here unless prompts are stored.
 */
export function feedback(context: GatewayContext): Handler {
  return serveWithBody(context, { route: '/v1/feedback' }, ({ exchange }, raw) => {
    if (raw.length > MAX_FEEDBACK_BYTES) throw new AppError('payload_too_large', 'request_too_large', `Feedback may have at most ${String(MAX_FEEDBACK_BYTES)} bytes.`);
    const { fields } = parseFields(feedbackFields, parseJsonBody(raw).value);
    const { request_id: requestId, score, label, comment } = fields;
    void context.bandits?.rate(requestId, score);
    const span = beginSpan(context, exchange);
    span.set(attribute.ROUTER_FEEDBACK_REQUEST_ID, requestId);
    span.set(attribute.ROUTER_FEEDBACK_SCORE, score);
    span.set(attribute.ROUTER_FEEDBACK_LABEL, label);
    span.set(attribute.ROUTER_FEEDBACK_SOURCE, 'client');
    span.set(attribute.LLM_KEY_HASH, exchange.principal.keyHash.slice(0, 16));
    if (exchange.snapshot.config.router.strategyArgs['store_prompts'] === true) span.set(attribute.ROUTER_FEEDBACK_COMMENT, comment);
    // Before it ends: a span that has ended records nothing more.
    const { recording } = span;
    span.end();
    context.telemetry.logger.forSpan(exchange.trace).info('feedback', { rated_request_id: requestId, score, label, key_hash: exchange.principal.keyHash.slice(0, 16) });
    context.metrics.arms.scored({ requestId, score, source: 'feedback' });
    sendJson(exchange.res, 202, { object: 'feedback', request_id: requestId, recorded: recording }, { 'x-request-id': exchange.requestId });
  });
}

/** Below the request's span; a trace of its own where the caller's is not sampled: whoever samples traces does not mean to lose feedback. */
function beginSpan({ telemetry }: GatewayContext, { trace }: Exchange): Span {
  return trace.recording ? trace.child('router.feedback', 'internal') : telemetry.traces.begin('router.feedback', { kind: 'internal' });
}
