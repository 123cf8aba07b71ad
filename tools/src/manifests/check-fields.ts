import { join } from 'node:path';
import ts from 'typescript';
import type { KubeObject, ManifestProblem } from './kube-object.ts';
import { moduleOf } from './validate-kinds.ts';

/** "Object literal may only specify known properties", with and without a near miss. */
const UNKNOWN_PROPERTY = new Set([2353, 2561]);

/**
 * Finds fields that a kind does not have. The validators of kubernetes-models let them pass, and so does an API server without strict validation: a misspelt
 * `terminationGracePeriod` would be no problem and have no effect. Their types know better: each object is compiled as a literal of the type of its kind.
 */
export function unknownFields(root: string, sources: ReadonlyMap<string, readonly KubeObject[]>): readonly ManifestProblem[] {
  const checked: { readonly source: string; readonly object: KubeObject }[] = [];
  const lines: string[] = [];
  // Most objects come from `base` again and again: each text is compiled once.
  const known = new Set<string>();
  for (const [source, objects] of sources) {
    for (const object of objects) {
      const module = moduleOf(object);
      if (module === undefined) continue;
      const literal = `import(${JSON.stringify(module)}).I${object.kind} = ${JSON.stringify(object.body)};`;
      if (known.has(literal)) continue;
      known.add(literal);
      lines.push(`export const o${checked.length}: ${literal}`);
      checked.push({ source, object });
    }
  }
  const file = join(root, 'tools', 'src', 'manifests', 'objects-to-check.ts');
  const options: ts.CompilerOptions = { module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext, target: ts.ScriptTarget.ES2024, strict: true, skipLibCheck: true, noEmit: true, types: [] };
  const host = ts.createCompilerHost(options);
  const text = lines.join('\n');
  const read = host.getSourceFile.bind(host);
  host.getSourceFile = (name, ...rest) => (name === file ? ts.createSourceFile(name, text, ts.ScriptTarget.ES2024, true) : read(name, ...rest));
  const exists = host.fileExists.bind(host);
  host.fileExists = (name) => name === file || exists(name);
  const program = ts.createProgram([file], options, host);
  const parsed = program.getSourceFile(file);
  if (parsed === undefined) return [];
  return program.getSemanticDiagnostics(parsed).flatMap((diagnostic) => {
    const owner = checked[parsed.getLineAndCharacterOfPosition(diagnostic.start ?? 0).line];
    if (owner === undefined) return [];
    const { source, object: { kind, name } } = owner;
    const message = ts.flattenDiagnosticMessageText(diagnostic.messageText, ' ');
    if (diagnostic.code === 2307) return [{ source, object: `${kind}/${name}`, field: 'apiVersion', problem: 'no types are known of this kind' }];
    // Whether values fit is said by the validators: literals of JSON are wider than some of the types.
    if (!UNKNOWN_PROPERTY.has(diagnostic.code)) return [];
    return [{ source, object: `${kind}/${name}`, field: fieldAt(parsed, diagnostic.start ?? 0), problem: `is no field of this kind${/Did you mean to write '([^']+)'/.exec(message)?.[1]?.replace(/^/, ', did you mean ') ?? ''}` }];
  });
}

/** The path of the property that is written at a position: `spec.template.spec.containers[0].image`. */
function fieldAt(file: ts.SourceFile, position: number): string {
  const steps: string[] = [];
  const visit = (node: ts.Node): void => {
    if (position < node.getStart(file) || position >= node.getEnd()) return;
    if (ts.isPropertyAssignment(node)) steps.push(`.${ts.isStringLiteral(node.name) ? node.name.text : node.name.getText(file)}`);
    if (ts.isArrayLiteralExpression(node)) steps.push(`[${node.elements.findIndex((element) => position >= element.getStart(file) && position < element.getEnd())}]`);
    ts.forEachChild(node, visit);
  };
  visit(file);
  return steps.join('').replace(/^\./, '');
}
