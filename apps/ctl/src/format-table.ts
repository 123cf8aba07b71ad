/**
 * Rows as aligned columns, two spaces apart and indented by two; the last column wraps at the width of a terminal.
 * Without a width nothing wraps, so that `grep` sees whole lines.
 */
export function formatTable(rows: readonly (readonly string[])[], columns: number | undefined): string {
  const widths = (rows[0] ?? []).slice(0, -1).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  const indent = 2 + widths.reduce((sum, width) => sum + width + 2, 0);
  const room = columns === undefined ? Infinity : Math.max(24, columns - indent);
  return rows.map((row) => {
    const cells = widths.map((width, column) => (row[column] ?? '').padEnd(width)).join('  ');
    const lines = wrap(row.at(-1) ?? '', room);
    return `  ${cells}${widths.length > 0 ? '  ' : ''}${lines.join(`\n${' '.repeat(indent)}`)}`.trimEnd();
  }).join('\n');
}

function wrap(text: string, room: number): readonly string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > room) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
