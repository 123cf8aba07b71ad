import { sampleText } from '../features/sample-text.ts';
import { TEXT_FEATURES, TextFeatureMaker } from '../features/text-features.ts';
import { WordScan } from '../features/word-scan.ts';
import { checkArithmetic, isDigit, numberEnd } from './check-arithmetic.ts';

/**
 * What is counted of a question and an answer to it, in order. `log n / k` stands for ln(1 + n) / k: fixed transforms to about 0…1, never fitted to data (that is the
 * model's part). Lengths are the true ones; everything else is counted in the beginning and the end of long texts. Every value is finite.
 */
const OWN_FEATURES = [
  'answer_characters', //        log characters / 10
  'answer_lines', //             log lines that are not blank / 4
  'answer_sentences', //         log ends of sentences / 4
  'answer_per_question', //      log characters of the answer per character of the question / 2
  'answer_numbers', //           log numbers / 4
  'answer_decimals', //          log numbers with a fraction / 3
  'steps', //                    log lines with a digit / 3
  'equations', //                log equations written out / 3
  'wrong_equations', //          log equations that do not come out / 2
  'wrong_share', //              those per equation
  'long_equations', //           log equations of three operators and more / 2
  'distinct_results', //         log different right sides / 3
  'repeated_results', //         1 − different right sides per equation
  'last_operator_takes', //      1 when the last equation ends in a subtraction or division
  'annotations', //              log "<<" marks of calculators / 3
  'annotated_share', //          those per equation, at most 1
  'has_final_mark', //           1 when the result is marked: "####", "\boxed", "answer is"
  'has_no_number', //            1 when there is no number at all
  'final_is_result', //          1 when the result is the right side of some equation
  'final_is_last_result', //     1 when it is that of the last one
  'final_is_asked_number', //    1 when it stands in the question
  'final_is_fraction', //        1 when it is no whole number
  'final_is_negative', //        1 when it is below zero
  'final_is_zero', //            1 when it is zero
  'final_size', //               log of its absolute value / 12
  'final_against_asked', //      ln of it against the largest number of the question / 6, from −2 to 2
  'text_after_final', //         log characters after "####" / 6
  'asked_numbers', //            log different numbers of the question / 3
  'unused_numbers', //           log numbers of the question that the answer never uses / 2
  'unused_share', //             those per number of the question
  'foreign_numbers', //          log numbers of the answer that are neither asked about nor worked out / 3
  'foreign_share', //            those per number of the answer
  'largest_against_asked', //    ln of the answer's largest number against the question's / 6, from −2 to 2
  'answer_algebra', //           log letters set equal to something / 2
  'answer_questions', //         log question marks / 2
  'answer_lists', //             log lines that begin with a bullet or a number / 3
  'answer_code', //              log fences of code / 2
  'hedging', //                  log words such as "assume", "perhaps", "however" / 2
  'refusal', //                  log words such as "cannot", "sorry", "unable" / 2
  'repeated_lines', //           share of lines that stood there before
  'cut_off', //                  1 when it ends in the middle of a sentence
  'money_differs', //            1 when one of question and answer speaks of money
  'question_characters', //      log characters / 8
  'question_sentences', //       log ends of sentences / 3
  'question_last_words', //      log words of its last sentence / 4
  'question_spelled', //         log numbers in words / 2
  'question_fractions', //       log fractions, written "1/2" or in words / 2
  'question_percents', //        log per cents / 2
  'question_times', //           log units of time / 2
  'question_comparisons', //     log words such as "more", "than", "each" / 3
  'question_conditions', //      log words such as "if", "after", "remaining" / 2
  'answer_overlap', //           share of the question's longer words that the answer uses
] as const;

type OwnFeature = (typeof OWN_FEATURES)[number];

/** What a verifier sees, in order: the above, then the text features of the question (`TEXT_FEATURES`), named `asked:…`. Changes count as a change of `FEATURE_VERSION`. */
export const ANSWER_FEATURES: readonly string[] = [...OWN_FEATURES, ...TEXT_FEATURES.map((name) => `asked:${name}`)];

/** Characters that are read of the beginning and of the end of each text: where the plan and the result stand. */
const HALF = 6_000;
const MAX_NUMBERS = 1_000;
const MAX_WORDS = 400;

const SPELLED = /\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozen|half|twice|double|triple|thrice)\b/gi;
const FRACTIONS = /\d\/\d|\b(?:half|third|quarter|fifth)s?\b/gi;
const PERCENTS = /%|\bpercent\b/gi;
const TIMES = /\b(?:day|week|month|year|hour|minute|second)s?\b|\b(?:daily|weekly|old)\b/gi;
const COMPARISONS = /\b(?:more|less|fewer|than|each|every|per|total|average|times|much|many)\b/gi;
const CONDITIONS = /\b(?:if|after|before|until|remaining|rest|left|except|only|instead|another|first|then)\b/gi;
const HEDGING = /\b(?:however|wait|actually|assum\w{1,5}|approximately|roughly|unclear|suppose|maybe|perhaps|seems?|might|probably)\b/gi;
const REFUSAL = /\b(?:cannot|can't|unable|sorry|impossible|apologize|don't know|not possible|not enough|as an ai)\b/gi;
const ALGEBRA = /\b[a-z] ?= ?[\d(]/gi;
const BULLET = /^(?:[-*•]|\d{1,3}[.)]) /;
const SENTENCE_END = /[.!?](?=\s|$)/g;
const MONEY = /[$€£]|\bdollars?\b/i;
/** Where a solution marks its result; what follows is read as the number. */
const FINAL_MARKS = ['####', '\\boxed{', 'answer is', 'answer:'] as const;
const FINAL_REACH = 40;

/** The features of one answer, one value per name of `ANSWER_FEATURES`. Pure; the time is bounded for texts of any length. */
export function answerFeatures(questionText: string, answerText: string): Float32Array {
  const question = sampled(questionText);
  const answer = sampled(answerText);
  const { equations, wrong, long, results, lastOperator } = checkArithmetic(answer);
  const asked = [...new Set(numbersOf(question))];
  const said = numbersOf(answer);
  const saidOnce = new Set(said);
  const known = new Set([...asked, ...results, 1, 2, 100]);
  const unused = asked.filter((value) => !saidOnce.has(value)).length;
  const foreign = said.filter((value) => !known.has(value)).length;
  const { value: final, isMarked } = finalNumber(answer, said);
  const lines = answer.split('\n').map((line) => line.trim()).filter((line) => line !== '');
  const largestAsked = largest(asked);
  const isResult = final !== undefined && results.some((value) => isNear(value, final));
  const annotations = occurrences(answer, '<<');
  const distinct = new Set(results).size;
  const values: Readonly<Record<OwnFeature, number>> = {
    answer_characters: log(answerText.length, 10),
    answer_lines: log(lines.length, 4),
    answer_sentences: log(count(answer, SENTENCE_END), 4),
    answer_per_question: log(answerText.length / Math.max(1, questionText.length), 2),
    answer_numbers: log(said.length, 4),
    answer_decimals: log(said.filter((value) => !Number.isInteger(value)).length, 3),
    steps: log(lines.filter(hasDigit).length, 3),
    equations: log(equations, 3),
    wrong_equations: log(wrong, 2),
    wrong_share: share(wrong, equations),
    long_equations: log(long, 2),
    distinct_results: log(distinct, 3),
    repeated_results: equations === 0 ? 0 : 1 - distinct / equations,
    last_operator_takes: flag(lastOperator === '-' || lastOperator === '/'),
    annotations: log(annotations, 3),
    annotated_share: Math.min(1, share(annotations, equations)),
    has_final_mark: flag(isMarked),
    has_no_number: flag(final === undefined),
    final_is_result: flag(isResult),
    final_is_last_result: flag(isResult && isNear(results.at(-1) ?? Number.NaN, final)),
    final_is_asked_number: flag(final !== undefined && asked.includes(final)),
    final_is_fraction: flag(final !== undefined && !Number.isInteger(final)),
    final_is_negative: flag(final !== undefined && final < 0),
    final_is_zero: flag(final === 0),
    final_size: final === undefined ? 0 : log(Math.min(Math.abs(final), 1e12), 12),
    final_against_asked: final === undefined ? 0 : ratio(Math.abs(final), largestAsked),
    text_after_final: log(afterMark(answer), 6),
    asked_numbers: log(asked.length, 3),
    unused_numbers: log(unused, 2),
    unused_share: share(unused, asked.length),
    foreign_numbers: log(foreign, 3),
    foreign_share: share(foreign, said.length),
    largest_against_asked: ratio(largest(said), largestAsked),
    answer_algebra: log(count(answer, ALGEBRA), 2),
    answer_questions: log(occurrences(answer, '?'), 2),
    answer_lists: log(lines.filter((line) => BULLET.test(line)).length, 3),
    answer_code: log(occurrences(answer, '```'), 2),
    hedging: log(count(answer, HEDGING), 2),
    refusal: log(count(answer, REFUSAL), 2),
    repeated_lines: lines.length === 0 ? 0 : 1 - new Set(lines).size / lines.length,
    cut_off: flag(isCutOff(answer)),
    money_differs: flag(MONEY.test(question) !== MONEY.test(answer)),
    question_characters: log(questionText.length, 8),
    question_sentences: log(count(question, SENTENCE_END), 3),
    question_last_words: log(lastSentenceWords(question), 4),
    question_spelled: log(count(question, SPELLED), 2),
    question_fractions: log(count(question, FRACTIONS), 2),
    question_percents: log(count(question, PERCENTS), 2),
    question_times: log(count(question, TIMES), 2),
    question_comparisons: log(count(question, COMPARISONS), 3),
    question_conditions: log(count(question, CONDITIONS), 2),
    answer_overlap: overlap(question, answer),
  };
  const features = new Float32Array(ANSWER_FEATURES.length);
  for (const [index, name] of OWN_FEATURES.entries()) features[index] = values[name];
  features.set(askedFeatures(questionText), OWN_FEATURES.length);
  return features;
}

function askedFeatures(text: string): Float32Array {
  const parts = sampleText(text);
  const words = new WordScan();
  words.scan(parts);
  return new TextFeatureMaker().make({ text, system: '', turns: 1, images: 0, tools: 0, wantsJson: false }, parts, words);
}

/** The number that an answer gives as its result: the one behind the last mark, else the last one; undefined where there is none. */
function finalNumber(answer: string, numbers: readonly number[]): { value: number | undefined; isMarked: boolean } {
  const lower = answer.toLowerCase();
  for (const mark of FINAL_MARKS) {
    const at = lower.lastIndexOf(mark);
    if (at === -1) continue;
    const value = firstNumber(answer, at + mark.length);
    if (value !== undefined) return { value, isMarked: true };
  }
  return { value: numbers.at(-1), isMarked: false };
}

function firstNumber(text: string, from: number): number | undefined {
  const end = Math.min(text.length, from + FINAL_REACH);
  for (let at = from; at < end; at += 1) {
    if (!isDigit(text.charCodeAt(at))) continue;
    const value = Number(text.slice(at, numberEnd(text, at)).replaceAll(',', ''));
    const isNegative = /-\s?[$€£]?$/.test(text.slice(Math.max(from, at - 3), at));
    return Number.isFinite(value) ? (isNegative ? -value : value) : undefined;
  }
  return undefined;
}

function sampled(text: string): string {
  return text.length <= 2 * HALF ? text : `${text.slice(0, HALF)}\n${text.slice(-HALF)}`;
}

function numbersOf(text: string): number[] {
  const numbers: number[] = [];
  for (let at = 0; at < text.length && numbers.length < MAX_NUMBERS; at += 1) {
    if (!isDigit(text.charCodeAt(at))) continue;
    const end = numberEnd(text, at);
    const value = Number(text.slice(at, end).replaceAll(',', ''));
    if (Number.isFinite(value)) numbers.push(value);
    at = end;
  }
  return numbers;
}

function isCutOff(answer: string): boolean {
  const last = answer.trimEnd().at(-1);
  return last !== undefined && !'.!?)]}"\'*>%`:'.includes(last) && !isDigit(last.charCodeAt(0));
}

function afterMark(answer: string): number {
  const at = answer.indexOf('####');
  return at === -1 ? 0 : Math.max(0, answer.length - at - 20);
}

function lastSentenceWords(question: string): number {
  const text = question.trimEnd();
  const at = Math.max(text.lastIndexOf('. '), text.lastIndexOf('! '), text.lastIndexOf('\n'), 0);
  return text.slice(at).split(' ').length;
}

function overlap(question: string, answer: string): number {
  const words = new Set((question.toLowerCase().match(/[a-z]{5,20}/g) ?? []).slice(0, MAX_WORDS));
  if (words.size === 0) return 0;
  const said = new Set(answer.toLowerCase().match(/[a-z]{5,20}/g) ?? []);
  let shared = 0;
  for (const word of words) if (said.has(word)) shared += 1;
  return shared / words.size;
}

function hasDigit(line: string): boolean {
  return /\d/.test(line);
}

function largest(values: readonly number[]): number {
  let found = 0;
  for (const value of values) found = Math.max(found, Math.min(value, 1e12));
  return found;
}

function ratio(value: number, against: number): number {
  return Math.max(-2, Math.min(2, Math.log((1 + Math.min(value, 1e12)) / (1 + against)) / 6));
}

function count(text: string, pattern: RegExp): number {
  return text.match(pattern)?.length ?? 0;
}

function occurrences(text: string, part: string): number {
  let found = 0;
  for (let at = text.indexOf(part); at !== -1; at = text.indexOf(part, at + part.length)) found += 1;
  return found;
}

function isNear(value: number, other: number): boolean {
  return Math.abs(value - other) <= 0.005 * Math.max(1, Math.abs(other));
}

function log(value: number, scale: number): number {
  return Math.log1p(value) / scale;
}

function share(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}

function flag(value: boolean): number {
  return value ? 1 : 0;
}
