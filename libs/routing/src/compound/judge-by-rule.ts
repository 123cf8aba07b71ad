import { checkArithmetic } from './check-arithmetic.ts';
import type { HeldAnswer, Verdict, VerdictReason } from './compound.ts';

/** A refusal comes first; what follows may be an explanation of any length. */
const REFUSAL_REACH = 160;
const REFUSAL = /\b(?:i(?:'m| am) (?:sorry|unable|not able)|i (?:cannot|can't|can not|won't)|as an ai\b|i do(?:n't| not) (?:know|have (?:enough|access)))/i;
/** Equations that do not come out; one may be a misreading. */
const WRONG_EQUATIONS = 2;
const MAX_READ = 64_000;

/**
 * What can be said of an answer without a model: empty, cut off by its length, a refusal, sums that do not come out, no JSON where JSON was asked for.
 * A call of tools is accepted: it is no answer in words.
 */
export function judgeByRule({ answer, finishReason, isToolCall, wantsJson }: HeldAnswer): Verdict {
  const verdict = (escalate: boolean, reason: VerdictReason): Verdict => ({ escalate, reason, gain: undefined, modelVersion: '' });
  if (isToolCall) return verdict(false, 'tool_call');
  const text = answer.trim();
  if (text === '') return verdict(true, 'empty');
  if (finishReason === 'length' || finishReason === 'max_tokens' || finishReason === 'max_output_tokens') return verdict(true, 'truncated');
  if (wantsJson) return isJson(text) ? verdict(false, 'plain') : verdict(true, 'not_json');
  if (REFUSAL.test(text.slice(0, REFUSAL_REACH))) return verdict(true, 'refusal');
  if (checkArithmetic(text.slice(0, MAX_READ)).wrong >= WRONG_EQUATIONS) return verdict(true, 'wrong_arithmetic');
  return verdict(false, 'plain');
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
