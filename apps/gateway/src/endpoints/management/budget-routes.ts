import { randomUUID } from 'node:crypto';
import { AppError } from '@pointsman/errors';
import type { BudgetRow } from '@pointsman/database';
import { budgetDeleteFields, budgetInfoFields, budgetInfoQuery, budgetListQuery, budgetNewFields, budgetUpdateFields, type FieldsOf } from '@pointsman/schemas';
import { limitChange, NO_LIMITS } from './limit-change.ts';
import type { ManagementCall } from './management-call.ts';
import { defineRoute, type ManagementRoute } from './management-route.ts';
import { difference, givenOrEmpty } from './row-changes.ts';

type Call<Definition> = ManagementCall<FieldsOf<Definition>>;

const LIST_SIZE = 500;

/** What LiteLLM's dashboard asks before it draws the form of a budget. */
const SETTINGS: readonly { readonly name: keyof BudgetRow; readonly type: string; readonly description: string }[] = [
  { name: 'max_budget', type: 'Float', description: 'USD that may be spent per period.' },
  { name: 'soft_budget', type: 'Float', description: 'USD from which on there is a warning.' },
  { name: 'budget_duration', type: 'String', description: "Length of a period: '30s', '12h', '7d', '1mo'." },
  { name: 'max_parallel_requests', type: 'Integer', description: 'Requests at a time.' },
  { name: 'tpm_limit', type: 'Integer', description: 'Tokens per minute.' },
  { name: 'rpm_limit', type: 'Integer', description: 'Requests per minute.' },
  { name: 'model_max_budget', type: 'Object', description: 'Budgets per model.' },
];

export const budgetRoutes: readonly ManagementRoute[] = [
  defineRoute({ method: 'post', path: '/budget/new', tag: 'Budgets', audience: 'admin', summary: 'Make a budget that keys can share by budget_id', fields: budgetNewFields, handle: create }),
  defineRoute({ method: 'post', path: '/budget/update', tag: 'Budgets', audience: 'admin', summary: 'Change a budget; null takes a limit away', fields: budgetUpdateFields, handle: update }),
  defineRoute({ method: 'post', path: '/budget/delete', tag: 'Budgets', audience: 'admin', summary: 'Delete a budget that no key uses', fields: budgetDeleteFields, handle: remove }),
  defineRoute({
    method: 'post', path: '/budget/info', tag: 'Budgets', audience: 'reader', reads: true, summary: 'Budgets by their ids', fields: budgetInfoFields,
    handle: (call) => find(call, call.fields.budgets),
  }),
  defineRoute({
    method: 'get', path: '/budget/info', tag: 'Budgets', audience: 'reader', summary: 'One budget', fields: budgetInfoQuery,
    handle: async (call) => (await find(call, [call.fields.budget_id]))[0],
  }),
  defineRoute({
    method: 'get', path: '/budget/list', tag: 'Budgets', audience: 'reader', summary: 'All budgets', fields: budgetListQuery,
    async handle(call) {
      const { page = 1, page_size: size = LIST_SIZE } = call.fields;
      return (await call.run(({ access }) => access.listBudgets({ page, size }))).rows;
    },
  }),
  defineRoute({
    method: 'get', path: '/budget/settings', tag: 'Budgets', audience: 'reader', summary: 'The fields of a budget with their values', fields: budgetInfoQuery,
    async handle(call) {
      const [budget] = await find(call, [call.fields.budget_id]);
      return SETTINGS.map(({ name, type, description }) => ({ field_name: name, field_type: type, field_description: description, field_value: budget?.[name] ?? null, stored_in_db: budget?.[name] !== null, field_default_value: null }));
    },
  }),
];

async function create(call: Call<typeof budgetNewFields>): Promise<unknown> {
  const { budget_id: chosen, ...fields } = call.fields;
  const id = chosen ?? randomUUID();
  const row = await call.run(async ({ access }) => {
    if (await access.findBudget(id) !== undefined) throw new AppError('invalid_request', '400', `Budget with id=${id} already exists. Please use a different budget_id.`, { param: 'budget_id', type: 'bad_request_error' });
    return access.insertBudget({
      ...NO_LIMITS, budget_id: id, model_max_budget: {}, ...limitChange(fields), ...givenOrEmpty(fields, { model_max_budget: {} }),
      created_at: call.now, updated_at: call.now, created_by: call.author, updated_by: call.author,
    });
  });
  call.audit('budget.create', `budget:${id}`, { after: row });
  call.context.accessChanged(undefined);
  return row;
}

async function update(call: Call<typeof budgetUpdateFields>): Promise<unknown> {
  const { budget_id: id, ...fields } = call.fields;
  const { before, row } = await call.run(async ({ access }) => {
    const found = await access.findBudget(id);
    if (found === undefined) throw budgetNotFound(id);
    const changed = await access.updateBudget(id, { ...limitChange(fields), ...givenOrEmpty(fields, { model_max_budget: {} }), updated_at: call.now, updated_by: call.author });
    if (changed === undefined) throw budgetNotFound(id);
    return { before: found, row: changed };
  });
  call.audit('budget.update', `budget:${id}`, difference(before, row));
  call.context.accessChanged(undefined);
  return row;
}

async function remove(call: Call<typeof budgetDeleteFields>): Promise<unknown> {
  const { id } = call.fields;
  const [gone] = await call.run(async ({ access }) => {
    const keys = await access.countKeysOfBudget(id);
    // Without its row these keys would have no limit at all.
    if (keys > 0) throw new AppError('invalid_request', '400', `Budget '${id}' is used by ${String(keys)} ${keys === 1 ? 'key' : 'keys'}. Give them another budget_id (or null) with /key/update, or delete them, first.`, { param: 'id', type: 'bad_request_error' });
    return access.deleteBudgets([id]);
  });
  if (gone === undefined) throw budgetNotFound(id);
  call.audit('budget.delete', `budget:${id}`, { before: gone });
  call.context.accessChanged(undefined);
  return gone;
}

async function find(call: ManagementCall<unknown>, ids: readonly string[]): Promise<BudgetRow[]> {
  return call.run(async ({ access }) => {
    const rows: BudgetRow[] = [];
    for (const id of ids) {
      const row = await access.findBudget(id);
      if (row === undefined) throw budgetNotFound(id);
      rows.push(row);
    }
    return rows;
  });
}

function budgetNotFound(id: string): AppError {
  return new AppError('not_found', '404', `Budget not found, passed budget_id=${id}.`, { param: 'budget_id' });
}
