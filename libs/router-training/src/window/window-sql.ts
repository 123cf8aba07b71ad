/**
 * Everything that is done to trace rows before training sees them, in SQL: docs/closed-loop.md shows the same for Athena and Spark. Names in `$` are bound.
 * Nothing depends on the order of files or lines: where rows compete, their own content decides.
 */

/** Lines of all objects with the fields that matter, typed. A line that is no JSON is a NULL. */
export const LINES_SQL = `
CREATE TEMP TABLE line AS
SELECT
  filename AS file,
  json IS NOT NULL AND json_type(json) = 'OBJECT' AS is_object,
  coalesce(json ->> '$.kind', 'request') AS kind,
  json ->> '$.request_id' AS request_id,
  TRY_CAST(json ->> '$.at' AS TIMESTAMP) AS began,
  json ->> '$.at' AS at_text,
  json ->> '$.strategy' AS strategy,
  coalesce(json ->> '$.model_version', '') AS model_version,
  json ->> '$.selected_model' AS selected,
  json ->> '$.outcome.served_model' AS served,
  TRY_CAST(json ->> '$.propensity' AS DOUBLE) AS propensity,
  CAST(json -> '$.candidates' AS VARCHAR) AS candidates,
  json ->> '$.embedder.name' AS embedder,
  json ->> '$.embedder.sha256' AS embedder_sha256,
  TRY_CAST(json ->> '$.embedder.dimensions' AS INTEGER) AS embedder_dimensions,
  coalesce(json_array_length(json, '$.features'), 0) AS features_width,
  CAST(json -> '$.features' AS VARCHAR) AS features,
  json ->> '$.embedding' AS embedding,
  CAST(json -> '$.ngrams' AS VARCHAR) AS ngrams,
  json ->> '$.prompt' AS prompt,
  TRY_CAST(json ->> '$.outcome.status' AS INTEGER) AS status,
  TRY_CAST(json ->> '$.outcome.cost_usd' AS DOUBLE) AS cost_usd,
  TRY_CAST(json ->> '$.outcome.feedback_score' AS DOUBLE) AS feedback_score,
  TRY_CAST(json ->> '$.outcome.judge_score' AS DOUBLE) AS judge_score,
  json ->> '$.signals.error' AS error,
  coalesce(json ->> '$.signals.empty', 'false') = 'true' AS is_empty,
  coalesce(json ->> '$.signals.aborted', 'false') = 'true' AS is_aborted,
  json ->> '$.signals.retry_of' AS retry_of,
  md5(CAST(json AS VARCHAR)) AS content
FROM read_ndjson_objects($files, ignore_errors => true, filename => true, maximum_object_size => 8388608)`;

/** What is no row: counted, and named by its file. */
export const BAD_LINES_SQL = `
SELECT file, count(*) AS lines
FROM line
WHERE NOT coalesce(is_object, false) OR request_id IS NULL OR request_id = '' OR began IS NULL
   OR (kind = 'request' AND (selected IS NULL OR strategy IS NULL OR candidates IS NULL OR status IS NULL OR try_cast(candidates AS VARCHAR[]) IS NULL))
   OR feedback_score NOT BETWEEN 0 AND 1 OR judge_score NOT BETWEEN 0 AND 1
GROUP BY file ORDER BY file`;

/** One row per request of the window: of several, the newest. */
export const REQUESTS_SQL = `
CREATE TEMP TABLE request AS
SELECT * FROM (
  SELECT *, row_number() OVER (PARTITION BY request_id ORDER BY began DESC, content) AS place, count(*) OVER (PARTITION BY request_id) AS copies
  FROM line
  WHERE is_object AND kind = 'request' AND request_id <> '' AND selected IS NOT NULL AND strategy IS NOT NULL AND candidates IS NOT NULL AND status IS NOT NULL
    AND try_cast(candidates AS VARCHAR[]) IS NOT NULL AND (feedback_score IS NULL OR feedback_score BETWEEN 0 AND 1) AND (judge_score IS NULL OR judge_score BETWEEN 0 AND 1)
    AND began >= CAST($from AS TIMESTAMP) AND began < CAST($to AS TIMESTAMP)
) WHERE place = 1`;

/** Feedback that came after its request's row was written: the latest of each kind wins. */
export const FEEDBACK_SQL = `
CREATE TEMP TABLE late AS
SELECT
  request_id,
  arg_max(feedback_score, {'began': began, 'score': feedback_score}) FILTER (WHERE feedback_score BETWEEN 0 AND 1) AS feedback_score,
  arg_max(judge_score, {'began': began, 'score': judge_score}) FILTER (WHERE judge_score BETWEEN 0 AND 1) AS judge_score
FROM line
WHERE is_object AND kind = 'feedback' AND request_id <> '' AND began IS NOT NULL
GROUP BY request_id`;

/**
 * The quality of an answer: what a person said, else what a judge said, else what its course tells. A fallback's answer says nothing of the selected model but that it
 * failed. Errors of the caller (4xx) and clients that left tell nothing; that an answer merely came tells something only if $undisturbed says so.
 */
export const LABELS_SQL = `
CREATE TEMP TABLE labelled AS
WITH asked_again AS (SELECT DISTINCT retry_of AS request_id FROM request WHERE retry_of IS NOT NULL),
joined AS (
  SELECT r.*, coalesce(l.feedback_score, r.feedback_score) AS said_by_person, coalesce(l.judge_score, r.judge_score) AS said_by_judge, a.request_id IS NOT NULL AS was_asked_again,
    r.status >= 500 OR (NOT r.is_aborted AND (r.is_empty OR (r.error IS NOT NULL AND r.status < 400))) AS has_failed,
    r.served IS NOT NULL AND r.served <> r.selected AS is_fallback
  FROM request r LEFT JOIN late l USING (request_id) LEFT JOIN asked_again a USING (request_id)
)
SELECT *,
  CASE WHEN said_by_person IS NOT NULL THEN said_by_person WHEN said_by_judge IS NOT NULL THEN said_by_judge WHEN has_failed OR was_asked_again THEN 0.0
       WHEN $undisturbed AND status < 400 AND NOT is_aborted THEN 1.0 END AS served_quality,
  CASE WHEN is_fallback THEN 'fallback' WHEN said_by_person IS NOT NULL THEN 'feedback' WHEN said_by_judge IS NOT NULL THEN 'judge' WHEN has_failed THEN 'failure'
       WHEN was_asked_again THEN 'asked-again' WHEN $undisturbed AND status < 400 AND NOT is_aborted THEN 'undisturbed' END AS source,
  CASE WHEN strategy = 'default-order' THEN 'undecided'
       WHEN propensity IS NULL OR NOT (propensity > 0 AND propensity <= 1) THEN 'bad_propensity'
       WHEN features_width = 0 AND prompt IS NULL THEN 'no_features'
       WHEN prompt IS NULL AND (features_width <> $features_width OR embedder IS DISTINCT FROM $embedder OR coalesce(embedder_sha256, '') <> $embedder_sha256
            OR embedder_dimensions IS DISTINCT FROM $embedder_dimensions) THEN 'other_features' END AS left_out
FROM joined`;

export const COUNTS_SQL = `
SELECT
  (SELECT count(*) FROM line) AS lines,
  (SELECT count(*) FROM request) AS requests,
  (SELECT coalesce(sum(copies - 1), 0) FROM request) AS duplicates,
  (SELECT count(*) FROM late) AS late_feedback,
  count(*) FILTER (WHERE left_out = 'undecided') AS undecided,
  count(*) FILTER (WHERE left_out = 'bad_propensity') AS bad_propensity,
  count(*) FILTER (WHERE left_out = 'no_features') AS no_features,
  count(*) FILTER (WHERE left_out = 'other_features') AS other_features,
  count(*) FILTER (WHERE left_out IS NULL AND source IS NULL) AS unlabelled,
  count(*) FILTER (WHERE left_out IS NULL AND source IN ('feedback', 'judge')) AS judged,
  count(*) FILTER (WHERE left_out IS NULL AND source IN ('failure', 'asked-again', 'fallback')) AS failed,
  count(*) FILTER (WHERE left_out IS NULL AND source = 'undisturbed') AS undisturbed
FROM labelled`;

/** What training and evaluation get, oldest first. */
export const ROWS_SQL = `
SELECT * FROM (
  SELECT request_id, at_text, began, strategy, model_version, selected, served, propensity, candidates, features, embedding, ngrams, prompt, cost_usd,
    CASE WHEN is_fallback THEN 0.0 ELSE served_quality END AS quality, CASE WHEN is_fallback THEN served_quality END AS fallback_quality, source
  FROM labelled WHERE left_out IS NULL AND source IS NOT NULL
  ORDER BY began DESC, request_id LIMIT $limit
) ORDER BY began, request_id`;
