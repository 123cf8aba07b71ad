/** Strings shorter than this are parsed with everything else. */
const LONG_STRING = 2_048;
/** Bodies of many short strings (tool schemas, token lists) have nothing to win: after this many the whole text is parsed. */
const MAX_SHORT_STRINGS = 256;
/** A string with more escaped quotes than this is searched as slowly as it is parsed. */
const MAX_ESCAPED_QUOTES = 4_096;
/** What stands in for a long string. */
const STAND_IN = '(long string)';

/** Whether the quote at `at` is escaped: preceded by an odd number of backslashes. */
function isEscaped(text: string, at: number): boolean {
  let before = at - 1;
  while (text.charCodeAt(before) === 0x5c) before -= 1;
  return (at - before) % 2 === 0;
}

/** Whether what ends at `close` is a key: keys are not taken out. */
function isKey(text: string, close: number): boolean {
  let next = close + 1;
  for (let code = text.charCodeAt(next); code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09; code = text.charCodeAt(next)) next += 1;
  return text.charCodeAt(next) === 0x3a;
}

/**
 * A JSON text with a short word in place of every string of several kilobytes (prompts, images); undefined when there is nothing to win.
 *
 * What a gateway must know of a body (model, stream, roles, which parameters are there) costs microseconds to parse; the prompts in it, read
 * character by character, cost more than the rest of the request together, and most are passed on as the bytes they came in.
 * Where strings begin and end is decided by quotes and backslashes alone, as in every JSON parser, so the structure that remains is the one
 * that any other reader of the same bytes sees.
 */
export function shortenStrings(text: string): string | undefined {
  let shortened = '';
  let copied = 0;
  let position = 0;
  let short = 0;
  let escaped = 0;
  for (;;) {
    const open = text.indexOf('"', position);
    if (open === -1) break;
    let close = text.indexOf('"', open + 1);
    while (close !== -1 && isEscaped(text, close)) {
      escaped += 1;
      if (escaped > MAX_ESCAPED_QUOTES) return undefined;
      close = text.indexOf('"', close + 1);
    }
    if (close === -1) return undefined;
    if (close - open > LONG_STRING && !isKey(text, close)) {
      shortened += text.slice(copied, open + 1) + STAND_IN;
      copied = close;
    } else {
      short += 1;
      if (short > MAX_SHORT_STRINGS) return undefined;
    }
    position = close + 1;
  }
  return copied === 0 ? undefined : shortened + text.slice(copied);
}
