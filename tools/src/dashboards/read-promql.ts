import { parser } from '@prometheus-io/lezer-promql';

/** A metric of an expression, and the labels that are asked of it. */
export interface Selector {
  readonly metric: string;
  readonly matchers: readonly { readonly label: string; readonly operator: string; readonly value: string }[];
}

export interface PromQl {
  readonly selectors: readonly Selector[];
  /** Labels of `by`, `without`, `on`, `ignoring`, `group_left`. */
  readonly groupingLabels: readonly string[];
  /** Labels that the outermost aggregation keeps; undefined where nothing aggregates. */
  readonly keptLabels: readonly string[] | undefined;
}

/** What Grafana puts in before Prometheus sees the expression. */
const VARIABLES: readonly (readonly [RegExp, string])[] = [[/\$__rate_interval|\$__interval/g, '5m'], [/\$__range/g, '1h']];

/** An expression as Prometheus gets it. */
export const withoutVariables = (expr: string): string => VARIABLES.reduce((text, [variable, value]) => text.replace(variable, value), expr);

/**
 * Reads PromQL with the grammar of Prometheus' own web page.
 * @throws Error that names the place where it is not PromQL.
 */
export function readPromQl(expr: string): PromQl {
  const text = withoutVariables(expr);
  const selectors: { metric: string; matchers: { label: string; operator: string; value: string }[] }[] = [];
  const groupingLabels: string[] = [];
  let kept: string[] | undefined;
  let isInGrouping = false;
  parser.parse(text).iterate({
    enter: (node) => {
      const word = text.slice(node.from, node.to);
      if (node.type.isError) throw new Error(`not PromQL at ${node.from} ("${text.slice(Math.max(0, node.from - 12), node.from + 12)}"): ${expr}`);
      if (node.name === 'VectorSelector') selectors.push({ metric: '', matchers: [] });
      const selector = selectors.at(-1);
      if (node.name === 'Identifier' && node.node.parent?.name === 'VectorSelector' && selector !== undefined) selector.metric = word;
      if (node.name === 'UnquotedLabelMatcher' && selector !== undefined) {
        const [, label = '', operator = '', value = ''] = /^\s*(\w+)\s*(=~|!~|!=|=)\s*["'](.*)["']\s*$/s.exec(word) ?? [];
        selector.matchers.push({ label, operator, value });
      }
      if (node.name === 'AggregateModifier' && kept === undefined && word.startsWith('by')) kept = [];
      if (node.name === 'GroupingLabels') isInGrouping = true;
      if (node.name === 'LabelName' && isInGrouping) {
        groupingLabels.push(word);
        if (kept !== undefined && node.node.parent?.parent?.name === 'AggregateModifier') kept.push(word);
      }
    },
    leave: (node) => {
      if (node.name === 'GroupingLabels') isInGrouping = false;
    },
  });
  return { selectors, groupingLabels, keptLabels: kept ?? (/\b(sum|max|min|count|avg|group|topk|bottomk)\b/.test(text) ? [] : undefined) };
}
