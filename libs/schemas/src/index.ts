export { isJsonObject, type JsonObject, type JsonValue } from './json.ts';
export { describeProblems, pathText, type Problem } from './describe-problems.ts';
export {
  checkChatBody, checkCompletionBody, checkCountTokensBody, checkEmbeddingBody, checkMessagesBody, checkResponsesBody, type BodyCheck, type BodyCheckOptions,
} from './check-body.ts';
export { CHAT_ROLES, chatBodySchema, chatMessageSchema } from './openai/chat-body.ts';
export { completionBodySchema, embeddingBodySchema } from './openai/completion-body.ts';
export { responsesBodySchema } from './openai/responses-body.ts';
export { countTokensBodySchema, messagesBodySchema } from './anthropic/messages-body.ts';
export { defineFields, parseFields, type FieldsDefinition, type FieldsOf } from './management/parse-fields.ts';
export * from './management/key-fields.ts';
export * from './management/team-fields.ts';
export * from './management/user-fields.ts';
export * from './management/budget-fields.ts';
export * from './management/spend-fields.ts';
export { manifestFileSchema, modelManifestSchema, modelNameSchema, modelVersionSchema, type ModelManifest } from './records/model-manifest.ts';
export { releaseSchema, type Release } from './records/release.ts';
export { gatewayReportSchema, servedModelSchema, type GatewayReport, type ServedModel } from './records/gateway-report.ts';
export { syncHealthSchema, type SyncHealth } from './records/sync-health.ts';
export { feedbackFields, type Feedback } from './records/feedback.ts';
export { feedbackRowSchema, traceRowSchema, trainingRowSchema, type FeedbackRow, type TraceRow, type TrainingRow } from './records/training-row.ts';
