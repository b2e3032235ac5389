-- Names for the numbers with which tables refer to each other.
CREATE VIEW named_repetitions AS
  SELECT u.experiment, u.run, c.cell, r.repetition, r.started_at, r.verdict, r.valid, r.why_not, u.run_id, c.cell_id, r.repetition_id
  FROM repetitions AS r JOIN cells AS c USING (cell_id) JOIN runs AS u USING (run_id);

-- figures.parquet of all runs.
CREATE VIEW named_figures AS
  SELECT n.experiment, n.run, n.cell, n.repetition, f.workload, f.target, f.phase, f.step, f.metric, f.value, f.unit, n.valid, n.why_not
  FROM figures AS f JOIN named_repetitions AS n USING (repetition_id);

-- Each step of each phase of each cell, over the repetitions that count: medians, with the 95 % interval of the throughput.
CREATE VIEW steps AS
  SELECT u.experiment, u.run, c.cell, e.workload, e.phase, e.step,
    MAX(e.n) FILTER (WHERE e.metric = 'throughput') AS repetitions,
    MAX(e.median) FILTER (WHERE e.metric = 'throughput') AS throughput_per_s,
    MAX(e.median_low) FILTER (WHERE e.metric = 'throughput') AS throughput_low_per_s,
    MAX(e.median_high) FILTER (WHERE e.metric = 'throughput') AS throughput_high_per_s,
    CAST(ROUND(MAX(e.median) FILTER (WHERE e.metric = 'response_p50')) AS INTEGER) AS response_p50_ns,
    CAST(ROUND(MAX(e.median) FILTER (WHERE e.metric = 'response_p99')) AS INTEGER) AS response_p99_ns,
    CAST(ROUND(MAX(e.median) FILTER (WHERE e.metric = 'service_p99')) AS INTEGER) AS service_p99_ns,
    MAX(e.median) FILTER (WHERE e.metric = 'errors') AS errors_share,
    u.run_id, e.cell_id
  FROM estimates AS e JOIN cells AS c USING (cell_id) JOIN runs AS u USING (run_id)
  WHERE e.step IS NOT NULL AND e.metric IN ('throughput', 'response_p50', 'response_p99', 'service_p99', 'errors')
  GROUP BY e.cell_id, e.workload, e.phase, e.step;

-- Which cell is fastest? `place` 1 within its run, workload and phase.
CREATE VIEW fastest_cells AS
  SELECT experiment, run, workload, phase,
    RANK() OVER (PARTITION BY run_id, workload, phase ORDER BY throughput_per_s DESC) AS place,
    cell, throughput_per_s, throughput_low_per_s, throughput_high_per_s, response_p50_ns, response_p99_ns, errors_share, repetitions
  FROM steps WHERE step = '(pass)' AND phase <> 'warm-up' AND throughput_per_s IS NOT NULL
  ORDER BY experiment, run, workload, phase, place, cell;

-- Throughput and p99 by level. A cell occurs once for each of its factors.
CREATE VIEW by_level AS
  SELECT s.experiment, s.run, l.factor, l.level, s.cell, s.workload, s.phase, s.step, s.throughput_per_s, s.throughput_low_per_s,
    s.throughput_high_per_s, s.response_p50_ns, s.response_p99_ns, s.errors_share, s.repetitions
  FROM steps AS s JOIN cell_levels AS l USING (cell_id)
  LEFT JOIN levels AS o ON o.run_id = s.run_id AND o.factor = l.factor AND o.level = l.level
  ORDER BY s.experiment, s.run, o.factor_position, o.level_position, s.cell, s.workload, s.phase, s.step;

-- Errors by outcome over time.
CREATE VIEW errors_over_time AS
  SELECT n.experiment, n.run, n.cell, n.repetition, n.valid, w.workload, w.step, w.outcome, w.window_start_ns,
    SUM(w.requests) AS requests
  FROM windows AS w JOIN named_repetitions AS n USING (repetition_id)
  WHERE w.kind = 'error'
  GROUP BY w.repetition_id, w.workload, w.step, w.outcome, w.window_start_ns
  ORDER BY n.experiment, n.run, n.cell, n.repetition, w.workload, w.step, w.window_start_ns, w.outcome;

-- The slowest requests, if each request was recorded; LIMIT selects how many.
CREATE VIEW slowest_requests AS
  SELECT n.experiment, n.run, n.cell, n.repetition, n.valid, q.workload, q.step, q.phase, q.outcome, q.response_ns, q.service_ns,
    q.intended_ns, q.sent_ns, q.first_byte_ns, q.completed_ns, q.sent_bytes, q.received_bytes
  FROM requests AS q JOIN named_repetitions AS n USING (repetition_id)
  WHERE q.step <> '(pass)'
  ORDER BY q.response_ns DESC;

-- Memory by target: medians over repetitions of the largest use in a phase; if `phase` is null, in the whole load.
CREATE VIEW memory_by_target AS
  SELECT u.experiment, u.run, c.cell, e.target, e.phase,
    MAX(e.median) FILTER (WHERE e.metric = 'pss') AS pss_bytes,
    MAX(e.median_low) FILTER (WHERE e.metric = 'pss') AS pss_low_bytes,
    MAX(e.median_high) FILTER (WHERE e.metric = 'pss') AS pss_high_bytes,
    MAX(e.median) FILTER (WHERE e.metric = 'rss') AS rss_bytes,
    MAX(e.n) AS repetitions
  FROM estimates AS e JOIN cells AS c USING (cell_id) JOIN runs AS u USING (run_id)
  WHERE e.metric IN ('pss', 'rss') AND e.target IS NOT NULL
  GROUP BY e.cell_id, e.target, e.phase
  ORDER BY u.experiment, u.run, c.position, e.target, e.phase;

-- What was excluded, and why: repetitions that do not count, and cells that were not executed.
CREATE VIEW excluded AS
  SELECT experiment, run, cell, repetition, verdict, why_not FROM named_repetitions WHERE valid = 0
  UNION ALL
  SELECT u.experiment, u.run, c.cell, NULL, 'skipped', c.skipped FROM cells AS c JOIN runs AS u USING (run_id) WHERE c.skipped IS NOT NULL
  ORDER BY 1, 2, 3, 4;

-- Repetitions over wall time, to see whether something drifts.
CREATE VIEW repetitions_over_time AS
  SELECT n.experiment, n.run, n.started_at, n.cell, n.repetition, n.verdict, n.valid, f.workload, f.phase,
    MAX(f.value) FILTER (WHERE f.metric = 'throughput') AS throughput_per_s,
    CAST(ROUND(MAX(f.value) FILTER (WHERE f.metric = 'response_p99')) AS INTEGER) AS response_p99_ns
  FROM named_repetitions AS n
  LEFT JOIN figures AS f ON f.repetition_id = n.repetition_id AND f.step = '(pass)' AND f.metric IN ('throughput', 'response_p99')
  GROUP BY n.repetition_id, f.workload, f.phase
  ORDER BY n.experiment, n.run, n.started_at, n.cell, n.repetition, f.workload, f.phase;

-- Which stream and circuit each transfer had, and where it failed in the words of OnionPerf (TOR/..., TGEN/...). A transfer
-- during which no control port was read has no circuit.
CREATE VIEW transfer_circuits AS
  SELECT n.experiment, n.run, n.cell, n.repetition, n.valid, t.workload, t.step, t.phase, t.row AS transfer, t.start_ns, t.end_ns, t.outcome,
    CASE WHEN t.outcome = 'open' OR (t.outcome = 'ok' AND t.error IS NULL) THEN NULL
      ELSE CASE COALESCE(t.error, 'MISC') WHEN 'PROXY' THEN 'TOR' ELSE 'TGEN/' || COALESCE(t.error, 'MISC') END
        || COALESCE('/' || s.reason, '') || COALESCE('/' || s.remote_reason, '')
    END AS error_code,
    x.tap, s.stream, c.circuit, c.path, c.launched_ns, c.built_ns,
    c.launched_ns > t.start_ns AS built_for_it -- 1: it was launched after the transfer had started
  FROM transfers AS t JOIN named_repetitions AS n USING (repetition_id)
  LEFT JOIN transfer_streams AS x ON x.repetition_id = t.repetition_id AND x.row = t.row
  LEFT JOIN streams AS s ON s.repetition_id = t.repetition_id AND s.tap = x.tap AND s.row = x.stream_row
  LEFT JOIN circuits AS c ON c.repetition_id = t.repetition_id AND c.tap = s.tap AND c.row = s.circuit_row
  ORDER BY n.experiment, n.run, n.cell, n.repetition, t.row;

-- How each circuit whose start was seen was used: `used`, built `in vain` (no stream was on it), or `never built`.
CREATE VIEW circuit_use AS
  SELECT n.experiment, n.run, n.cell, n.repetition, n.valid, c.tap, c.circuit, c.purpose, c.build_flags, c.path, c.launched_ns, c.built_ns,
    c.built_ns - c.launched_ns AS build_ns, c.ended_ns, c.reason,
    COUNT(s.row) AS streams,
    COUNT(s.row) FILTER (WHERE EXISTS (SELECT 1 FROM transfer_streams AS x
      WHERE x.repetition_id = s.repetition_id AND x.tap = s.tap AND x.stream_row = s.row)) AS transfers,
    CASE WHEN COUNT(s.row) > 0 THEN 'used' WHEN c.built_ns IS NULL THEN 'never built' ELSE 'in vain' END AS became
  FROM circuits AS c JOIN named_repetitions AS n USING (repetition_id)
  LEFT JOIN streams AS s ON s.repetition_id = c.repetition_id AND s.tap = c.tap AND s.circuit_row = c.row
  GROUP BY c.repetition_id, c.tap, c.row
  ORDER BY n.experiment, n.run, n.cell, n.repetition, c.tap, c.row;
