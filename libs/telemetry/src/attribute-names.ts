// One constant per attribute. `gen_ai.*`, `http.*`, `error.*`, `server.*`, `url.*` are the OpenTelemetry semantic conventions
// (https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/); `llm.*` and `router.*` are ours.

/** What was asked for: `chat`, `text_completion`, `embeddings`. */
export const GEN_AI_OPERATION_NAME = 'gen_ai.operation.name';
/** `openai`, `anthropic`, `aws.bedrock`, … */
export const GEN_AI_PROVIDER_NAME = 'gen_ai.provider.name';
/** The older name of `gen_ai.provider.name`, which many dashboards still read. */
export const GEN_AI_SYSTEM = 'gen_ai.system';
/** The model that the client asked for. */
export const GEN_AI_REQUEST_MODEL = 'gen_ai.request.model';
export const GEN_AI_REQUEST_TEMPERATURE = 'gen_ai.request.temperature';
export const GEN_AI_REQUEST_TOP_P = 'gen_ai.request.top_p';
/** Tokens. */
export const GEN_AI_REQUEST_MAX_TOKENS = 'gen_ai.request.max_tokens';
export const GEN_AI_REQUEST_CHOICE_COUNT = 'gen_ai.request.choice.count';
/** The model that the provider says it used. */
export const GEN_AI_RESPONSE_MODEL = 'gen_ai.response.model';
export const GEN_AI_RESPONSE_ID = 'gen_ai.response.id';
/** A list: one reason per choice. */
export const GEN_AI_RESPONSE_FINISH_REASONS = 'gen_ai.response.finish_reasons';
/** Tokens, cached ones included. */
export const GEN_AI_USAGE_INPUT_TOKENS = 'gen_ai.usage.input_tokens';
/** Tokens, reasoning included. */
export const GEN_AI_USAGE_OUTPUT_TOKENS = 'gen_ai.usage.output_tokens';

export const HTTP_REQUEST_METHOD = 'http.request.method';
/** The route's pattern, never the path that a client sent. */
export const HTTP_ROUTE = 'http.route';
export const HTTP_RESPONSE_STATUS_CODE = 'http.response.status_code';
/** Bytes. */
export const HTTP_REQUEST_BODY_SIZE = 'http.request.body.size';
/** The provider's host name. */
export const SERVER_ADDRESS = 'server.address';
export const SERVER_PORT = 'server.port';
/** A stable code of ours (`provider_timeout`), never a message. Set by `span.fail`. */
export const ERROR_TYPE = 'error.type';

/** The deployment's model as the configuration names it. */
export const LLM_MODEL = 'llm.model';
export const LLM_PROVIDER = 'llm.provider';
export const LLM_MODEL_GROUP = 'llm.model_group';
export const LLM_MODEL_ID = 'llm.model_id';
export const LLM_REQUEST_ID = 'llm.request_id';
export const LLM_STREAM = 'llm.stream';
/** Tokens. */
export const LLM_USAGE_PROMPT_TOKENS = 'llm.usage.prompt_tokens';
export const LLM_USAGE_COMPLETION_TOKENS = 'llm.usage.completion_tokens';
export const LLM_USAGE_TOTAL_TOKENS = 'llm.usage.total_tokens';
export const LLM_USAGE_CACHED_TOKENS = 'llm.usage.cached_tokens';
export const LLM_USAGE_REASONING_TOKENS = 'llm.usage.reasoning_tokens';
/** USD. */
export const LLM_COST_USD = 'llm.cost_usd';
/** Milliseconds from the request's first byte to the first content byte sent on. */
export const LLM_TIME_TO_FIRST_TOKEN_MS = 'llm.time_to_first_token_ms';
/** Milliseconds of the gateway's own work. */
export const LLM_OVERHEAD_MS = 'llm.overhead_ms';
/** Provider calls made for this request: 1 when the first one served. */
export const LLM_ATTEMPTS = 'llm.attempts';
/** Which try this attempt was, from 1. */
export const LLM_ATTEMPT_NUMBER = 'llm.attempt.number';
/** How the attempt ended: `ok` or a provider fault. */
export const LLM_ATTEMPT_OUTCOME = 'llm.attempt.outcome';
/** Whether the reply came from the cache. */
export const LLM_CACHE_HIT = 'llm.cache_hit';
/** The SHA-256 of the key that asked, first 16 hex digits. */
export const LLM_KEY_HASH = 'llm.key_hash';
export const LLM_USER = 'llm.user';
export const LLM_TEAM = 'llm.team';

export const ROUTER_STRATEGY = 'router.strategy';
/** The chosen candidate's score. */
export const ROUTER_SCORE = 'router.score';
/** A list of `provider/model`, best first. */
export const ROUTER_CANDIDATES = 'router.candidates';
/** A list of scores, in the order of `router.candidates`. */
export const ROUTER_SCORES = 'router.scores';
export const ROUTER_SELECTED_MODEL = 'router.selected_model';
/** '' where nothing was trained. */
export const ROUTER_MODEL_VERSION = 'router.model_version';
/** Milliseconds the decision took. */
export const ROUTER_LATENCY_MS = 'router.latency_ms';
/** Probability in (0, 1] with which the strategy picks the chosen candidate. */
export const ROUTER_PROPENSITY = 'router.propensity';
/** Whether the decision missed its deadline and the default candidate was taken. */
export const ROUTER_TIMED_OUT = 'router.timed_out';
/** What the training row needs of the features: the embedder as `name/dimensions/sha256` and the vector as base64 of float16, little endian. */
export const ROUTER_EMBEDDER = 'router.embedder';
export const ROUTER_EMBEDDING = 'router.embedding';
/** The text features of the prompt: a list of numbers. */
export const ROUTER_FEATURES = 'router.features';
/** Hashed n-grams, as two lists; only with `store_ngrams: true`. */
export const ROUTER_NGRAM_INDEX = 'router.ngram_index';
export const ROUTER_NGRAM_VALUE = 'router.ngram_value';
/** The text that the features are made of; only with `store_prompts: true`. */
export const ROUTER_PROMPT = 'router.prompt';
/** What a request's course says of the answer: each only where it holds. */
export const ROUTER_SIGNAL_ERROR = 'router.signal.error';
export const ROUTER_SIGNAL_EMPTY = 'router.signal.empty';
export const ROUTER_SIGNAL_ABORTED = 'router.signal.aborted';
/** The request id of the same caller's same prompt within the last 60 seconds. */
export const ROUTER_SIGNAL_RETRY_OF = 'router.signal.retry_of';
/** 0 to 1: what a client said of the reply, or a judge. */
export const ROUTER_FEEDBACK_SCORE = 'router.feedback_score';
/** The request that is judged. */
export const ROUTER_FEEDBACK_REQUEST_ID = 'router.feedback.request_id';
export const ROUTER_FEEDBACK_LABEL = 'router.feedback.label';
/** Only with `store_prompts: true`. */
export const ROUTER_FEEDBACK_COMMENT = 'router.feedback.comment';
/** Who judged: `client`, `judge`. */
export const ROUTER_FEEDBACK_SOURCE = 'router.feedback.source';

/** Whether a cascade asked a dearer model after it had looked at an answer. */
export const ROUTER_ESCALATED = 'router.escalated';
/** Why an answer was accepted or not: `verifier`, `plain`, `empty`, `refusal`, `truncated`, … */
export const ROUTER_VERDICT = 'router.verdict';
/** Predicted gain in quality by asking the dearer model, -1 to 1. */
export const ROUTER_VERDICT_GAIN = 'router.verdict_gain';
/** Of the verifier; '' where a rule decided. */
export const ROUTER_VERIFIER_VERSION = 'router.verifier_version';
/** Milliseconds that the verdict took. */
export const ROUTER_VERDICT_MS = 'router.verdict_ms';
/** Parts that a question was taken apart into, and how many of them were answered. */
export const ROUTER_PARTS = 'router.parts';
export const ROUTER_PARTS_ANSWERED = 'router.parts_answered';

export const SYNC_APP = 'sync.app';
/** `unchanged`, `published`, `rejected`, `failed`. */
export const SYNC_OUTCOME = 'sync.outcome';
export const SYNC_REVISION = 'sync.revision';
/** Bytes fetched in this pass. */
export const SYNC_BYTES = 'sync.bytes';
/** The object that was asked for. */
export const OBJECT_STORE_KEY = 'object_store.key';
/** `downloaded`, `unchanged`, `absent`, `failed`. */
export const OBJECT_STORE_OUTCOME = 'object_store.outcome';
export const LOCK_KEY = 'lock.key';
/** Milliseconds spent waiting for the lock. */
export const LOCK_WAIT_MS = 'lock.wait_ms';
/** The fencing number of the lock that was acquired. */
export const LOCK_FENCE = 'lock.fence';
/** A router model of `MODELS_DIR`. */
export const ROUTER_MODEL_NAME = 'router.model_name';
/** Where a router model was downloaded from: `origin`, `cache`. */
export const MODEL_SOURCE = 'model.source';
/** Audit rows written by this export. */
export const AUDIT_EXPORTED_ROWS = 'audit.exported_rows';
