/** The fields that are there (null included, undefined not), as a change of a row. */
export function given<Fields extends object, Name extends keyof Fields>(fields: Fields, names: readonly Name[]): { [Field in Name]?: Exclude<Fields[Field], undefined> } {
  const change: { [Field in Name]?: Exclude<Fields[Field], undefined> } = {};
  for (const name of names) {
    if (fields[name] !== undefined) change[name] = fields[name] as Exclude<Fields[Name], undefined>;
  }
  return change;
}

/** Like `given`, for columns that hold no null: null stands for the empty value. */
export function givenOrEmpty<Fields extends object, Name extends keyof Fields>(fields: Fields, empty: { readonly [Field in Name]: NonNullable<Fields[Field]> }): { [Field in Name]?: NonNullable<Fields[Field]> } {
  const change: { [Field in Name]?: NonNullable<Fields[Field]> } = {};
  for (const name of Object.keys(empty) as Name[]) {
    const value = fields[name];
    if (value !== undefined) change[name] = value ?? empty[name];
  }
  return change;
}

/** The columns of a row that a change touches and that really differ: what the audit log shows as before and after. */
export function difference<Row extends object>(before: Row, after: Row): { readonly before: Partial<Row>; readonly after: Partial<Row> } {
  const was: Partial<Row> = {};
  const is: Partial<Row> = {};
  for (const name of Object.keys(after) as (keyof Row)[]) {
    if (name === 'updated_at' || name === 'updated_by' || JSON.stringify(before[name]) === JSON.stringify(after[name])) continue;
    was[name] = before[name];
    is[name] = after[name];
  }
  return { before: was, after: is };
}
