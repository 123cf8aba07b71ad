/** Whether a name fits a pattern whose stars stand for any characters. No regular expression: patterns come from clients. Linear in practice, never worse than stars × length. */
export function matchesPattern(pattern: string, name: string): boolean {
  const literals = pattern.split('*');
  const first = literals[0] ?? '';
  const last = literals.length === 1 ? undefined : literals[literals.length - 1] ?? '';
  if (last === undefined) return pattern === name;
  if (name.length < first.length + last.length || !name.startsWith(first) || !name.endsWith(last)) return false;
  const end = name.length - last.length;
  let from = first.length;
  for (let index = 1; index < literals.length - 1; index += 1) {
    const literal = literals[index] ?? '';
    const at = name.indexOf(literal, from);
    if (at < 0 || at + literal.length > end) return false;
    from = at + literal.length;
  }
  return true;
}
