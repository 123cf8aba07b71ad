/**
 * JSON with one spelling for one value: keys sorted by UTF-16 code units, no spaces, numbers and strings as ECMAScript writes them (RFC 8785, section 3.2).
 * Takes what `JSON.parse` gives; fields that are `undefined` are left out. Nested deeper than 64 it throws a RangeError: no row of ours is.
 */
export function canonicalJson(value: unknown, depth = 0): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  if (depth > 64) throw new RangeError('nested deeper than 64 levels');
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item, depth + 1)).join(',')}]`;
  const record = value as Readonly<Record<string, unknown>>;
  const fields: string[] = [];
  for (const key of Object.keys(record).sort()) {
    if (record[key] !== undefined) fields.push(`${JSON.stringify(key)}:${canonicalJson(record[key], depth + 1)}`);
  }
  return `{${fields.join(',')}}`;
}
