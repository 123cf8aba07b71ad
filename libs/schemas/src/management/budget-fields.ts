import { modelBudgets, name, newName, queryNumber, someOf } from './field-types.ts';
import { limitFields } from './limit-fields.ts';
import { defineFields } from './parse-fields.ts';

const settable = { ...limitFields, model_max_budget: modelBudgets.nullish() } as const;
const WITHOUT_EFFECT = 'budget_reset_at allowed_models';
export const budgetNewFields = defineFields({ ...settable, budget_id: newName.nullish() }, WITHOUT_EFFECT);
export const budgetUpdateFields = defineFields({ ...settable, budget_id: name }, WITHOUT_EFFECT);
export const budgetDeleteFields = defineFields({ id: name });
export const budgetInfoFields = defineFields({ budgets: someOf(500) });
export const budgetInfoQuery = defineFields({ budget_id: name });
export const budgetListQuery = defineFields({ page: queryNumber(1, 1_000_000).optional(), page_size: queryNumber(1, 500).optional() });
