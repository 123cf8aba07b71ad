/** A short, single-line description of anything thrown, for logs: name, message and the chain of causes, at most 500 characters. */
export function describeUnknown(thrown: unknown): string {
  const parts: string[] = [];
  let current: unknown = thrown;
  for (let depth = 0; depth < 4 && current !== undefined && current !== null; depth += 1) {
    if (!(current instanceof Error)) {
      parts.push(typeof current === 'string' ? current : Object.prototype.toString.call(current));
      break;
    }
    const code = (current as { code?: unknown }).code;
    parts.push(`${current.name}${typeof code === 'string' ? `[${code}]` : ''}: ${current.message}`);
    current = current.cause;
  }
  return parts.join(' <- ').replaceAll(/\s+/g, ' ').slice(0, 500);
}
