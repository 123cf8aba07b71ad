/** Steps from the top of a configuration to a value: keys and list positions. */
export type Path = readonly (string | number)[];

/** Keys may hold anything; what is shown stays on one line and short. */
const LONGEST_SHOWN_KEY = 80;

/** `['model_list', 2, 'litellm_params', 'api_base']` → `model_list[2].litellm_params.api_base`; odd keys are quoted. */
export function showPath(path: Path): string {
  let shown = '';
  for (const step of path) {
    if (typeof step === 'number') shown += `[${String(step)}]`;
    else if (/^[\w$*/:.@-]+$/.test(step) && step.length <= LONGEST_SHOWN_KEY && !step.includes('.')) shown += shown === '' ? step : `.${step}`;
    else shown += `[${JSON.stringify(step.length > LONGEST_SHOWN_KEY ? `${step.slice(0, LONGEST_SHOWN_KEY)}…` : step)}]`;
  }
  return shown;
}
