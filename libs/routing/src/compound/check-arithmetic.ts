/** Equations that an answer writes out, worked out again. */
export interface ArithmeticCheck {
  readonly equations: number;
  readonly wrong: number;
  /** Equations of three operators and more. */
  readonly long: number;
  /** Right sides of the equations, in order. */
  readonly results: readonly number[];
  /** Sign of the last operator of the last equation; '' where there is none. */
  readonly lastOperator: string;
}

type Token = number | string;

const MAX_EQUATIONS = 200;
/** Terms and signs of one expression; longer ones are no arithmetic of a solution. */
const MAX_TOKENS = 48;
/** Words that may stand between a number and the next sign: "3 boxes of eggs * 12 = 36". */
const MAX_WORDS_BETWEEN = 3;
/** Longer runs of digits are identifiers. */
const MAX_NUMBER_UNITS = 24;
/** Rounding is no mistake. */
const TOLERANCE = 0.01;
const LATEX_SIGNS: ReadonlyMap<string, string> = new Map([['times', '*'], ['cdot', '*'], ['div', '/']]);

/**
 * Finds what is written as `a op b … = c` (with money signs, thousands separators, per cent, units, parentheses, `×`, `\times`) and checks each.
 * Takes time in proportion to the text: one pass, no backtracking.
 */
export function checkArithmetic(text: string): ArithmeticCheck {
  const results: number[] = [];
  const expression: Token[] = [];
  let wrong = 0;
  let long = 0;
  let lastOperator = '';
  let words = 0;
  let hasPercent = false;
  /** What the expression left of the last `=` comes to, until the number right of it is there. */
  let claimed: number | undefined;
  let claimedSigns = 0;
  const forget = (): void => {
    expression.length = 0;
    words = 0;
    hasPercent = false;
    claimed = undefined;
  };
  for (let at = 0; at < text.length && results.length < MAX_EQUATIONS;) {
    const unit = text.charCodeAt(at);
    if (isDigit(unit)) {
      const end = numberEnd(text, at);
      const value = end - at > MAX_NUMBER_UNITS ? Number.NaN : Number(text.slice(at, end).replaceAll(',', ''));
      const isPercent = text[end] === '%';
      at = isPercent ? end + 1 : end;
      if (!Number.isFinite(value)) {
        forget();
        continue;
      }
      const previous = expression.at(-1);
      if (claimed !== undefined && (previous === undefined || previous === '-' || previous === '+')) {
        const stated = previous === '-' ? -value : value;
        hasPercent ||= isPercent;
        if (!isRight(claimed, stated, hasPercent)) wrong += 1;
        if (claimedSigns >= 3) long += 1;
        results.push(stated);
        claimed = undefined;
        hasPercent = isPercent;
        expression.length = 0;
        expression.push(stated);
        words = 0;
        continue;
      }
      if (typeof previous === 'number' || previous === ')' || expression.length >= MAX_TOKENS) forget();
      expression.push(value);
      hasPercent ||= isPercent;
      words = 0;
      continue;
    }
    if (isLetter(unit)) {
      const end = wordEnd(text, at);
      const sign = end - at === 1 && (text[at] === 'x' || text[at] === 'X') && typeof expression.at(-1) === 'number' ? '*' : undefined;
      at = end;
      if (sign !== undefined) expression.push(sign);
      else if (expression.length > 0 || claimed !== undefined) {
        words += 1;
        if (words > MAX_WORDS_BETWEEN) forget();
      }
      continue;
    }
    const character = text[at]!;
    at += 1;
    switch (character) {
      case ' ': case '\t': case '$': case '€': case '£': break;
      case '\\': {
        const end = wordEnd(text, at);
        const sign = LATEX_SIGNS.get(text.slice(at, Math.min(end, at + 8)));
        at = end;
        if (sign === undefined || !endsTerm(expression)) forget();
        else expression.push(sign);
        break;
      }
      case '+': case '-': case '−': case '–': case '*': case '×': case '·': case '/': case '÷': {
        const sign = character === '×' || character === '·' ? '*' : character === '÷' ? '/' : character === '−' || character === '–' ? '-' : character;
        const isUnary = (sign === '-' || sign === '+') && (expression.length === 0 || expression.at(-1) === '(' || claimed !== undefined);
        if ((!endsTerm(expression) && !isUnary) || expression.length >= MAX_TOKENS) forget();
        else expression.push(sign);
        break;
      }
      case '(': {
        if (endsTerm(expression)) forget(); // "12 eggs (a dozen)"
        if (expression.length < MAX_TOKENS) expression.push('(');
        break;
      }
      case ')': {
        if (expression.includes('(') && endsTerm(expression)) expression.push(')');
        else forget();
        break;
      }
      case '=': {
        const signs = expression.filter((token) => typeof token === 'string' && token !== '(' && token !== ')');
        const value = signs.length > 0 && claimed === undefined ? evaluate(expression) : undefined;
        const percent: boolean = hasPercent;
        forget();
        if (value !== undefined) {
          claimed = value;
          claimedSigns = signs.length;
          lastOperator = String(signs.at(-1));
          hasPercent = percent;
        }
        break;
      }
      default: forget();
    }
  }
  return { equations: results.length, wrong, long, results, lastOperator };
}

/** The end of the number that begins at `at`: digits with thousands separators, and one fraction. */
export function numberEnd(text: string, at: number): number {
  let end = at;
  while (end < text.length && (isDigit(text.charCodeAt(end)) || (text[end] === ',' && isDigit(text.charCodeAt(end + 1))))) end += 1;
  if (text[end] === '.' && isDigit(text.charCodeAt(end + 1))) {
    end += 1;
    while (end < text.length && isDigit(text.charCodeAt(end))) end += 1;
  }
  return end;
}

export function isDigit(unit: number): boolean {
  return unit >= 0x30 && unit <= 0x39;
}

/** "20% * 50 = 10" and "1 / 4 = 25%" are both written: either reading of per cent is accepted. */
function isRight(value: number, stated: number, hasPercent: boolean): boolean {
  return isNear(value, stated) || (hasPercent && (isNear(value / 100, stated) || isNear(value * 100, stated)));
}

function isNear(value: number, stated: number): boolean {
  return Math.abs(value - stated) <= TOLERANCE * Math.max(1, Math.abs(stated));
}

function isLetter(unit: number): boolean {
  return (unit | 0x20) >= 0x61 && (unit | 0x20) <= 0x7a;
}

function wordEnd(text: string, at: number): number {
  let end = at;
  while (end < text.length && (isLetter(text.charCodeAt(end)) || text[end] === "'")) end += 1;
  return end;
}

function endsTerm(expression: readonly Token[]): boolean {
  const last = expression.at(-1);
  return typeof last === 'number' || last === ')';
}

/** + - * / with parentheses and a sign in front; undefined for what does not parse or is not finite. */
function evaluate(tokens: readonly Token[]): number | undefined {
  let at = 0;
  const factor = (): number => {
    const token = tokens[at];
    at += 1;
    if (typeof token === 'number') return token;
    if (token === '-') return -factor();
    if (token === '+') return factor();
    if (token !== '(') return Number.NaN;
    const value = sum();
    if (tokens[at] === ')') at += 1;
    return value;
  };
  const product = (): number => {
    let value = factor();
    for (let sign = tokens[at]; sign === '*' || sign === '/'; sign = tokens[at]) {
      at += 1;
      value = sign === '*' ? value * factor() : value / factor();
    }
    return value;
  };
  const sum = (): number => {
    let value = product();
    for (let sign = tokens[at]; sign === '+' || sign === '-'; sign = tokens[at]) {
      at += 1;
      value = sign === '+' ? value + product() : value - product();
    }
    return value;
  };
  const value = sum();
  return at === tokens.length && Number.isFinite(value) ? value : undefined;
}
