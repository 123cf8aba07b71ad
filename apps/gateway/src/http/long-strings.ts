/** Strings shorter than this are parsed with everything else. */
export const LONG_STRING = 2_048;
/** Bodies of many short strings (tool schemas, token lists) have nothing to win: after this many the whole text is parsed. */
const MAX_SHORT_STRINGS = 256;
/** A string with more escaped quotes than this is searched as slowly as it is parsed. */
const MAX_ESCAPED_QUOTES = 1_024;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
/** What stands in for a long string. */
export const STAND_IN = '(long string)';

/** Whether the quote at `at` is escaped: preceded by an odd number of backslashes. */
function isEscaped(bytes: Buffer, at: number): boolean {
  let before = at - 1;
  while (bytes[before] === BACKSLASH) before -= 1;
  return (at - before) % 2 === 0;
}

/** Whether what ends at `close` is a key: keys are not taken out. */
function isKey(bytes: Buffer, close: number): boolean {
  let next = close + 1;
  for (let byte = bytes[next]; byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09; byte = bytes[next]) next += 1;
  return bytes[next] === COLON;
}

/**
 * The text of a JSON body with a short word in place of every string of several kilobytes (prompts, images); undefined when there is nothing to win.
 *
 * What a gateway must know of a body (model, stream, roles, which parameters are there) costs microseconds to parse; the prompts in it, decoded
 * and read character by character, cost more than the rest of the request together, and most are passed on as the bytes they came in.
 * Where strings begin and end is decided by quotes and backslashes alone, as in every JSON parser, so the structure that remains is the one
 * that any other reader of the same bytes sees. In UTF-8 no byte of a longer character looks like either.
 *
 * `standInFor` gives the word for one string, as JSON spells it between quotes, from where its bytes begin and end.
 */
export function shortenStrings(bytes: Buffer, standInFor?: (from: number, to: number) => string): string | undefined {
  let shortened = '';
  let copied = 0;
  let position = 0;
  let short = 0;
  let escaped = 0;
  for (;;) {
    const open = bytes.indexOf(QUOTE, position);
    if (open === -1) break;
    let close = bytes.indexOf(QUOTE, open + 1);
    while (close !== -1 && isEscaped(bytes, close)) {
      escaped += 1;
      if (escaped > MAX_ESCAPED_QUOTES) return undefined;
      close = bytes.indexOf(QUOTE, close + 1);
    }
    if (close === -1) return undefined;
    if (close - open > LONG_STRING && !isKey(bytes, close)) {
      shortened += bytes.toString('utf8', copied, open + 1) + (standInFor?.(open + 1, close) ?? STAND_IN);
      copied = close;
    } else {
      short += 1;
      if (short > MAX_SHORT_STRINGS) return undefined;
    }
    position = close + 1;
  }
  return copied === 0 ? undefined : shortened + bytes.toString('utf8', copied);
}
