/** A model name with `*` in it, taken apart once so that matching needs no regular expression and no backtracking. */
export interface Wildcard {
  readonly pattern: string;
  /** The literal parts around the stars: one more than there are stars. */
  readonly literals: readonly string[];
}

export function parseWildcard(pattern: string): Wildcard {
  return { pattern, literals: pattern.split('*') };
}

/**
 * What each `*` stands for in `name`, or undefined when it does not match. A star takes any characters, none included,
 * and the first as many as it can, as LiteLLM's `(.*)` does. Unlike LiteLLM's the match is held to the end of the name.
 * Linear for one star, never worse than stars × length.
 */
export function matchWildcard({ literals }: Wildcard, name: string): readonly string[] | undefined {
  const first = literals[0] ?? '';
  const last = literals[literals.length - 1] ?? '';
  if (name.length < first.length + last.length || !name.startsWith(first) || !name.endsWith(last)) return undefined;

  const captured: string[] = [];
  let end = name.length - last.length;
  for (let index = literals.length - 2; index >= 1; index -= 1) {
    const literal = literals[index] ?? '';
    const start = end - literal.length < first.length ? -1 : name.lastIndexOf(literal, end - literal.length);
    if (start < first.length) return undefined;
    captured.unshift(name.slice(start + literal.length, end));
    end = start;
  }
  captured.unshift(name.slice(first.length, end));
  return captured;
}

/**
 * Puts what the stars of a group's name stood for into the stars of a deployment's model (`openai/*`). Without a star
 * the model stays as it is; a star that nothing was captured for becomes the last capture. When more was captured than
 * there are stars, LiteLLM sends the name as asked for, and so does this.
 */
export function fillWildcards(model: string, captured: readonly string[], requested: string): string {
  const parts = model.split('*');
  if (parts.length === 1) return model;
  if (captured.length > parts.length - 1) return requested;
  return parts.reduce((filled, part, index) => filled + (captured[index - 1] ?? captured[captured.length - 1] ?? '') + part);
}

/** Sorts the more specific pattern first: longer literal prefix, then more literal characters, then fewer stars. */
export function bySpecificity(left: Wildcard, right: Wildcard): number {
  return (
    (right.literals[0] ?? '').length - (left.literals[0] ?? '').length ||
    literalLength(right) - literalLength(left) ||
    left.literals.length - right.literals.length
  );
}

function literalLength({ literals }: Wildcard): number {
  return literals.reduce((sum, literal) => sum + literal.length, 0);
}
