/** Columns of a model that was trained on tiers instead of models. */
const [WEAK, STRONG] = ['weak', 'strong'];
/** What is taken of a model that the artifact does not know. */
const UNKNOWN_QUALITY = 0.5;

export interface ColumnsOfModels {
  /** Rows × models out of rows × columns of the artifact. */
  read(predicted: Float64Array): Float64Array;
  /** Models that the artifact has no column for: 0.5 stands in. */
  readonly missing: readonly string[];
}

/**
 * The columns of an artifact for the models of a log. An artifact of the two columns `weak` and `strong` is read for any models: between the two, by the logarithm of
 * what each costs, as the gateway reads it by price.
 */
export function columnsOfModels(columns: readonly string[], models: readonly string[], cost: Float64Array): ColumnsOfModels {
  const found = models.map((model) => columns.indexOf(model));
  const [weak, strong] = [columns.indexOf(WEAK!), columns.indexOf(STRONG!)];
  const byTier = columns.length === 2 && weak >= 0 && strong >= 0 && found.every((column) => column < 0);
  const strength = relativeStrength(cost);
  return {
    missing: byTier ? [] : models.filter((_, model) => found[model]! < 0),
    read(predicted) {
      const rows = predicted.length / columns.length;
      return Float64Array.from({ length: rows * models.length }, (_, at) => {
        const start = Math.floor(at / models.length) * columns.length;
        const model = at % models.length;
        if (byTier) return predicted[start + weak]! * (1 - strength[model]!) + predicted[start + strong]! * strength[model]!;
        return found[model]! < 0 ? UNKNOWN_QUALITY : predicted[start + found[model]!]!;
      });
    },
  };
}

function relativeStrength(cost: Float64Array): Float64Array {
  const logs = cost.map((value) => Math.log(Math.max(1e-12, value)));
  const [least, most] = [Math.min(...logs), Math.max(...logs)];
  return logs.map((value) => (most - least < 1e-12 ? 0.5 : (value - least) / (most - least)));
}
