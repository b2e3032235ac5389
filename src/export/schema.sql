-- Results of runner: the tables of runs in one file. Columns say their units; times whose names end in _ns count in
-- nanoseconds from the start of the load of their repetition, unless they say how long something took.
-- The columns of a key come first: the `integrity_check` of SQLite up to 3.40 expects that of tables without rowid.
-- `PRAGMA user_version` is the version of this schema, `PRAGMA application_id` marks the database as runner's.

CREATE TABLE runs (
  run_id INTEGER PRIMARY KEY,          -- a number in this file only: experiment and run are the name
  experiment TEXT NOT NULL,
  run TEXT NOT NULL,                   -- time and id, the name of its directory
  question TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('whole', 'incomplete', 'running')), -- when it was exported
  started_at TEXT NOT NULL,            -- UTC
  seed TEXT NOT NULL,                  -- decimal: it has 64 bits and no sign
  window_ns INTEGER NOT NULL,          -- length of a window
  repetitions_planned INTEGER NOT NULL, -- of each cell
  primary_metric TEXT,                 -- null if the scenario names none
  runner TEXT NOT NULL,                -- version that made the run
  system TEXT NOT NULL,
  kernel TEXT NOT NULL,
  processor TEXT NOT NULL,
  cores INTEGER NOT NULL,
  memory_bytes INTEGER NOT NULL,
  git_commit TEXT,                     -- of the directory in which it was made
  git_changed INTEGER,                 -- 1: files differed from it
  manifest TEXT NOT NULL,              -- manifest.json
  content TEXT NOT NULL,               -- a hash of everything that was exported
  UNIQUE (experiment, run)
) STRICT;

CREATE TABLE levels (                  -- the levels of each factor, in the order of the scenario
  run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  factor_position INTEGER NOT NULL,    -- from 1
  level_position INTEGER NOT NULL,     -- from 1
  factor TEXT NOT NULL,
  level TEXT NOT NULL,
  PRIMARY KEY (run_id, factor_position, level_position)
) STRICT, WITHOUT ROWID;

CREATE TABLE cells (
  cell_id INTEGER PRIMARY KEY,
  run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  position INTEGER NOT NULL,           -- in the plan, from 1
  cell TEXT NOT NULL,                  -- its name, made of its levels
  folder TEXT NOT NULL,                -- below cells/
  skipped TEXT,                        -- why it was not executed
  planned INTEGER NOT NULL,            -- repetitions
  valid INTEGER NOT NULL,              -- those of them that count
  invalid INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  UNIQUE (run_id, position)
) STRICT;

CREATE TABLE cell_levels (             -- the level of each factor in a cell
  cell_id INTEGER NOT NULL REFERENCES cells ON DELETE CASCADE,
  factor TEXT NOT NULL,
  level TEXT NOT NULL,
  PRIMARY KEY (cell_id, factor)
) STRICT, WITHOUT ROWID;

CREATE TABLE estimates (               -- figures over the repetitions that count, as in summary.json and the table
  cell_id INTEGER NOT NULL REFERENCES cells ON DELETE CASCADE,
  row INTEGER NOT NULL,
  workload TEXT,                       -- null where it does not apply to a metric; likewise the next three
  target TEXT,
  phase TEXT,                          -- null for a target: the whole load
  step TEXT,                           -- (pass): the pass as a whole
  metric TEXT NOT NULL,
  n INTEGER NOT NULL,                  -- repetitions
  mean REAL,
  mean_low REAL, mean_high REAL,       -- 95 % interval (BCa bootstrap); null for one repetition
  median REAL,
  median_low REAL, median_high REAL,   -- likewise
  standard_deviation REAL,
  min REAL, max REAL,
  unit TEXT,                           -- ns, B, 1/s, B/s, share, or as a command reported it; null for plain numbers
  PRIMARY KEY (cell_id, row)
) STRICT, WITHOUT ROWID;

CREATE TABLE expectations (            -- what the scenario expects, and the outcome
  run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  row INTEGER NOT NULL,
  expectation TEXT NOT NULL,
  cell TEXT NOT NULL,
  outcome TEXT NOT NULL,               -- pass, fail, inconclusive, skipped
  value REAL, low REAL, high REAL,
  words TEXT NOT NULL,
  PRIMARY KEY (run_id, row)
) STRICT, WITHOUT ROWID;

CREATE TABLE damaged (                 -- what could not be read: these tables have no rows here
  run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  row INTEGER NOT NULL,
  words TEXT NOT NULL,
  PRIMARY KEY (run_id, row)
) STRICT, WITHOUT ROWID;

CREATE TABLE repetitions (             -- status.json
  repetition_id INTEGER PRIMARY KEY,
  cell_id INTEGER NOT NULL REFERENCES cells ON DELETE CASCADE,
  repetition INTEGER NOT NULL,         -- its number, from 1
  started_at TEXT NOT NULL,            -- UTC
  seed TEXT NOT NULL,
  verdict TEXT NOT NULL CHECK (verdict IN ('valid', 'invalid', 'failed')),
  valid INTEGER NOT NULL,              -- 1: it counts
  why_not TEXT,                        -- why it does not count
  total_ns INTEGER NOT NULL,           -- how long it took, and its parts; see status.json
  steps_ns INTEGER NOT NULL,
  target_start_ns INTEGER NOT NULL,
  ready_to_first_request_ns INTEGER NOT NULL,
  load_ns INTEGER NOT NULL,
  target_stop_ns INTEGER NOT NULL,
  record_ns INTEGER NOT NULL,
  overhead_ns INTEGER NOT NULL,
  generator_cpu_ns INTEGER NOT NULL,   -- of all its threads
  generator_wall_ns INTEGER NOT NULL,
  connects INTEGER NOT NULL,
  timer_late_p50_ns INTEGER, timer_late_p99_ns INTEGER, timer_late_max_ns INTEGER,
  dropped_windows INTEGER NOT NULL,
  steal_share REAL, others_share REAL, -- of the processors' time, during the load
  UNIQUE (cell_id, repetition)
) STRICT;

CREATE TABLE phases (                  -- as in status.json: before a warm-up that ends by itself is cut off
  repetition_id INTEGER NOT NULL REFERENCES repetitions ON DELETE CASCADE,
  row INTEGER NOT NULL,
  workload TEXT NOT NULL,
  phase TEXT NOT NULL,
  start_ns INTEGER NOT NULL,
  end_ns INTEGER NOT NULL,
  planned_ns INTEGER,
  offered INTEGER NOT NULL, unsent INTEGER NOT NULL, passes INTEGER NOT NULL, errors INTEGER NOT NULL,
  named INTEGER NOT NULL, completed INTEGER NOT NULL, open INTEGER NOT NULL,
  at_end_longest_ns INTEGER NOT NULL,
  silence_ns INTEGER NOT NULL,
  tail_ns INTEGER,
  PRIMARY KEY (repetition_id, row)
) STRICT, WITHOUT ROWID;

CREATE TABLE trials (                  -- of searches for the highest rate that holds
  repetition_id INTEGER NOT NULL REFERENCES repetitions ON DELETE CASCADE,
  row INTEGER NOT NULL,
  workload TEXT NOT NULL,
  rate_per_s REAL,
  start_ns INTEGER NOT NULL,
  end_ns INTEGER NOT NULL,
  held INTEGER NOT NULL,               -- 1: it held
  reasons TEXT NOT NULL,               -- a JSON list of what did not hold
  PRIMARY KEY (repetition_id, row)
) STRICT, WITHOUT ROWID;

CREATE TABLE replicas (                -- how each replica of each target fared
  repetition_id INTEGER NOT NULL REFERENCES repetitions ON DELETE CASCADE,
  row INTEGER NOT NULL,
  target TEXT NOT NULL,
  replica INTEGER NOT NULL,
  pid INTEGER,
  start_up_ns INTEGER,                 -- the time from start to ready
  ended TEXT,                          -- how it ended, if by itself
  killed INTEGER NOT NULL,
  PRIMARY KEY (repetition_id, row)
) STRICT, WITHOUT ROWID;

CREATE TABLE reconciled (              -- what servers counted, and what was sent to them
  repetition_id INTEGER NOT NULL REFERENCES repetitions ON DELETE CASCADE,
  row INTEGER NOT NULL,
  target TEXT NOT NULL,
  sent INTEGER NOT NULL, unanswered INTEGER NOT NULL, elsewhere INTEGER NOT NULL,
  seen INTEGER,
  unread TEXT, others TEXT,
  PRIMARY KEY (repetition_id, row)
) STRICT, WITHOUT ROWID;

CREATE TABLE links (
  repetition_id INTEGER NOT NULL REFERENCES repetitions ON DELETE CASCADE,
  row INTEGER NOT NULL,
  link TEXT NOT NULL,
  mechanism TEXT NOT NULL,
  host TEXT NOT NULL,
  measured TEXT NOT NULL,              -- JSON: round trips, losses and rates before the load
  PRIMARY KEY (repetition_id, row)
) STRICT, WITHOUT ROWID;

CREATE TABLE first_errors (            -- the first failed request of each kind, in words
  repetition_id INTEGER NOT NULL REFERENCES repetitions ON DELETE CASCADE,
  row INTEGER NOT NULL,
  words TEXT NOT NULL,
  PRIMARY KEY (repetition_id, row)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (                  -- events.jsonl
  repetition_id INTEGER NOT NULL REFERENCES repetitions ON DELETE CASCADE,
  row INTEGER NOT NULL,
  at_ns INTEGER NOT NULL,
  event TEXT NOT NULL,
  fields TEXT NOT NULL,                -- JSON: its other fields
  PRIMARY KEY (repetition_id, row)
) STRICT, WITHOUT ROWID;

CREATE TABLE figures (                 -- figures.parquet: each metric in each repetition
  repetition_id INTEGER NOT NULL REFERENCES repetitions ON DELETE CASCADE,
  row INTEGER NOT NULL,
  workload TEXT, target TEXT, phase TEXT, step TEXT, -- as in estimates
  metric TEXT NOT NULL,
  value REAL,
  unit TEXT,
  PRIMARY KEY (repetition_id, row)
) STRICT, WITHOUT ROWID;

CREATE TABLE windows (                 -- windows.parquet, with the rows of generator threads merged
  repetition_id INTEGER NOT NULL REFERENCES repetitions ON DELETE CASCADE,
  row INTEGER NOT NULL,
  window_start_ns INTEGER NOT NULL,    -- requests belong to the window in which they ended
  workload TEXT NOT NULL,
  step TEXT NOT NULL,                  -- (pass): the pass as a whole
  phase TEXT NOT NULL,                 -- in which they were meant to start
  completed_in TEXT NOT NULL,          -- the phase in which they ended
  outcome TEXT NOT NULL,               -- ok, the kind of error, or a name that the scenario gives
  kind TEXT NOT NULL CHECK (kind IN ('ok', 'error', 'named')),
  requests INTEGER NOT NULL,
  sent_bytes INTEGER NOT NULL, received_bytes INTEGER NOT NULL,
  service_p50_ns INTEGER, service_p99_ns INTEGER, service_max_ns INTEGER, service_mean_ns INTEGER,
  response_p50_ns INTEGER, response_p99_ns INTEGER, response_max_ns INTEGER, response_mean_ns INTEGER,
  lag_p50_ns INTEGER, lag_p99_ns INTEGER, lag_max_ns INTEGER, lag_mean_ns INTEGER,
  connects INTEGER NOT NULL,           -- requests that had to connect
  connect_p50_ns INTEGER, connect_p99_ns INTEGER, connect_max_ns INTEGER, connect_mean_ns INTEGER,
  first_bytes INTEGER NOT NULL,        -- requests that had a first byte
  first_byte_p50_ns INTEGER, first_byte_p99_ns INTEGER, first_byte_max_ns INTEGER, first_byte_mean_ns INTEGER,
  PRIMARY KEY (repetition_id, row)
) STRICT, WITHOUT ROWID;

CREATE TABLE requests (                -- requests.parquet, if each request was recorded
  repetition_id INTEGER NOT NULL REFERENCES repetitions ON DELETE CASCADE,
  row INTEGER NOT NULL,
  workload TEXT NOT NULL,
  step TEXT NOT NULL,                  -- (pass): the pass as a whole
  phase TEXT NOT NULL,
  outcome TEXT NOT NULL,
  intended_ns INTEGER NOT NULL,
  sent_ns INTEGER NOT NULL,
  first_byte_ns INTEGER,
  completed_ns INTEGER NOT NULL,
  service_ns INTEGER NOT NULL,         -- completed - sent
  response_ns INTEGER NOT NULL,        -- completed - intended
  sent_bytes INTEGER NOT NULL, received_bytes INTEGER NOT NULL,
  key INTEGER,                         -- the key of a matched answer, as join_key of taps; below 0 if made from a text
  host TEXT,                           -- the machine, in runs over several
  PRIMARY KEY (repetition_id, row)
) STRICT, WITHOUT ROWID;

CREATE TABLE transfers (               -- transfers.parquet: each transfer, stage by stage
  repetition_id INTEGER NOT NULL REFERENCES repetitions ON DELETE CASCADE,
  row INTEGER NOT NULL,
  workload TEXT NOT NULL,
  step TEXT NOT NULL,
  pass INTEGER NOT NULL,
  phase TEXT NOT NULL,
  outcome TEXT NOT NULL,
  error TEXT,                          -- where it failed, such as PROXY or TIMEOUT
  words TEXT,                          -- the same for people
  proxy_code INTEGER,                  -- the code with which the proxy refused
  unix_ns INTEGER NOT NULL,            -- when it started, since 1970
  intended_ns INTEGER NOT NULL,        -- when it was meant to start
  start_ns INTEGER NOT NULL,
  socket_ns INTEGER, connect_ns INTEGER, -- when each stage was over, likewise; see docs/results.md
  negotiate_ns INTEGER, request_ns INTEGER, response_ns INTEGER,
  data_request_ns INTEGER, data_response_ns INTEGER,
  perc0_ns INTEGER, perc10_ns INTEGER, perc20_ns INTEGER, perc30_ns INTEGER, perc40_ns INTEGER, perc50_ns INTEGER, -- when this percentage of the body was complete
  perc60_ns INTEGER, perc70_ns INTEGER, perc80_ns INTEGER, perc90_ns INTEGER, perc100_ns INTEGER,
  bytes10240_ns INTEGER, bytes20480_ns INTEGER, bytes51200_ns INTEGER, bytes102400_ns INTEGER, bytes204800_ns INTEGER, -- when this many bytes of the body were complete
  bytes512000_ns INTEGER, bytes1048576_ns INTEGER, bytes2097152_ns INTEGER, bytes5242880_ns INTEGER,
  end_ns INTEGER NOT NULL,             -- when it ended
  file_bytes INTEGER,                  -- length of the body that was to be received or sent
  read_bytes INTEGER NOT NULL, written_bytes INTEGER NOT NULL, -- of the connection
  body_read_bytes INTEGER NOT NULL, body_written_bytes INTEGER NOT NULL,
  local TEXT,                          -- address of this end
  proxy TEXT,
  remote TEXT NOT NULL,                -- host and port that were requested
  isolation TEXT,                      -- user name with which the proxy isolated it
  PRIMARY KEY (repetition_id, row)
) STRICT, WITHOUT ROWID;

CREATE TABLE circuits (                -- from taps that read Tor's control port: circuits whose start was seen
  repetition_id INTEGER NOT NULL REFERENCES repetitions ON DELETE CASCADE,
  tap TEXT NOT NULL,
  row INTEGER NOT NULL,
  circuit INTEGER NOT NULL,            -- Tor's number, which a restarted Tor uses again
  purpose TEXT,                        -- the latest
  launched_ns INTEGER NOT NULL,
  built_ns INTEGER,
  ended_ns INTEGER NOT NULL,           -- if it was still open: when the last event was read
  closed INTEGER NOT NULL,             -- 1: Tor said that it ended
  path TEXT NOT NULL,                  -- $FINGERPRINT~nickname, separated by commas
  timeout_ms INTEGER,                  -- for building, in force when it was launched
  quantile REAL,
  timeout_set INTEGER NOT NULL,        -- 1: Tor had computed that
  reason TEXT, remote_reason TEXT,     -- why it could not be built
  build_flags TEXT,                    -- what it was meant for when it was launched, such as IS_INTERNAL,NEED_CAPACITY
  PRIMARY KEY (repetition_id, tap, row)
) STRICT, WITHOUT ROWID;

CREATE TABLE circuit_hops (            -- likewise, the relays of a circuit
  repetition_id INTEGER NOT NULL REFERENCES repetitions ON DELETE CASCADE,
  tap TEXT NOT NULL,
  row INTEGER NOT NULL,                -- in circuits
  hop INTEGER NOT NULL,                -- from 1
  relay TEXT NOT NULL,                 -- $FINGERPRINT~nickname
  at_ns INTEGER NOT NULL,              -- when the circuit reached it
  since_launch_ns INTEGER NOT NULL,
  PRIMARY KEY (repetition_id, tap, row, hop)
) STRICT, WITHOUT ROWID;

CREATE TABLE guards (                  -- likewise, guards; one that was dropped and comes back has another row
  repetition_id INTEGER NOT NULL REFERENCES repetitions ON DELETE CASCADE,
  tap TEXT NOT NULL,
  row INTEGER NOT NULL,
  fingerprint TEXT NOT NULL,
  nickname TEXT NOT NULL,
  new_ns INTEGER, up_ns INTEGER, down_ns INTEGER, dropped_ns INTEGER, -- when Tor first reported each state
  PRIMARY KEY (repetition_id, tap, row)
) STRICT, WITHOUT ROWID;

CREATE TABLE build_timeouts (          -- likewise, time-outs for building circuits that took effect (BUILDTIMEOUT_SET)
  repetition_id INTEGER NOT NULL REFERENCES repetitions ON DELETE CASCADE,
  tap TEXT NOT NULL,
  row INTEGER NOT NULL,
  at_ns INTEGER NOT NULL,
  status TEXT,                         -- COMPUTED, RESET, ...
  total_times INTEGER,                 -- build times from which it was computed
  timeout_ms INTEGER,
  quantile REAL,
  timeout_rate REAL,
  close_ms INTEGER,
  PRIMARY KEY (repetition_id, tap, row)
) STRICT, WITHOUT ROWID;

CREATE TABLE onion_steps (             -- likewise, on the way to onion services
  repetition_id INTEGER NOT NULL REFERENCES repetitions ON DELETE CASCADE,
  tap TEXT NOT NULL,
  row INTEGER NOT NULL,
  at_ns INTEGER NOT NULL,
  step TEXT NOT NULL,                  -- HS_DESC:REQUESTED, HS_DESC:RECEIVED, ...; or the new state of a circuit, such as HSCR_JOINED
  service TEXT,                        -- its address without .onion; null if Tor does not report it
  circuit INTEGER,                     -- Tor's number; null for descriptors
  relay TEXT,                          -- the relay that has the descriptor
  reason TEXT,                         -- why a descriptor could not be fetched
  PRIMARY KEY (repetition_id, tap, row)
) STRICT, WITHOUT ROWID;

CREATE TABLE streams (                 -- likewise, streams
  repetition_id INTEGER NOT NULL REFERENCES repetitions ON DELETE CASCADE,
  tap TEXT NOT NULL,
  row INTEGER NOT NULL,
  stream INTEGER NOT NULL,             -- Tor's number
  circuit INTEGER,                     -- Tor's number of the latest circuit that carried it
  circuit_row INTEGER,                 -- its row in circuits; null if its start was not seen
  purpose TEXT,
  source TEXT,                         -- address and port from which it came
  target TEXT NOT NULL,
  new_ns INTEGER NOT NULL,
  ended_ns INTEGER NOT NULL,           -- as in circuits
  closed INTEGER NOT NULL,
  reason TEXT, remote_reason TEXT,     -- why it failed
  PRIMARY KEY (repetition_id, tap, row)
) STRICT, WITHOUT ROWID;

CREATE TABLE transfer_streams (        -- the stream of a transfer: from its port, and ended within 150 s of it
  repetition_id INTEGER NOT NULL REFERENCES repetitions ON DELETE CASCADE,
  row INTEGER NOT NULL,                -- in transfers
  tap TEXT NOT NULL,
  stream_row INTEGER NOT NULL,         -- in streams
  PRIMARY KEY (repetition_id, row, tap)
) STRICT, WITHOUT ROWID;

CREATE TABLE metrics (                 -- metrics.parquet: what commands reported and what was collected
  repetition_id INTEGER NOT NULL REFERENCES repetitions ON DELETE CASCADE,
  row INTEGER NOT NULL,
  at_ns INTEGER NOT NULL,
  workload TEXT NOT NULL,
  phase TEXT NOT NULL,
  pass INTEGER NOT NULL,
  metric TEXT NOT NULL,
  value REAL,
  PRIMARY KEY (repetition_id, row)
) STRICT, WITHOUT ROWID;

CREATE TABLE resources (               -- resources.parquet: a replica with all its processes; counters since its start
  repetition_id INTEGER NOT NULL REFERENCES repetitions ON DELETE CASCADE,
  row INTEGER NOT NULL,
  at_ns INTEGER NOT NULL,
  target TEXT NOT NULL,
  replica INTEGER NOT NULL,
  processes INTEGER, threads INTEGER,
  pss_bytes INTEGER,                   -- null when it was not read this time
  rss_bytes INTEGER, peak_rss_bytes INTEGER,
  cpu_user_ns INTEGER, cpu_system_ns INTEGER,
  open_files INTEGER,
  voluntary_switches INTEGER, involuntary_switches INTEGER,
  read_bytes INTEGER, written_bytes INTEGER,
  complete INTEGER,                    -- 1: all of the tree was read
  host TEXT,                           -- the machine, in runs over several
  PRIMARY KEY (repetition_id, row)
) STRICT, WITHOUT ROWID;

CREATE TABLE host (                    -- host.parquet: a core; counters since boot
  repetition_id INTEGER NOT NULL REFERENCES repetitions ON DELETE CASCADE,
  row INTEGER NOT NULL,
  at_ns INTEGER NOT NULL,
  core INTEGER NOT NULL,
  user_ns INTEGER, system_ns INTEGER, idle_ns INTEGER, iowait_ns INTEGER, steal_ns INTEGER,
  memory_total_bytes INTEGER, memory_available_bytes INTEGER,
  load_1min REAL,
  cpu_pressure_some_us INTEGER, cpu_pressure_full_us INTEGER,
  memory_pressure_some_us INTEGER, memory_pressure_full_us INTEGER,
  io_pressure_some_us INTEGER, io_pressure_full_us INTEGER,
  frequency_hz INTEGER, frequency_max_hz INTEGER,
  core_throttles INTEGER, package_throttles INTEGER,
  host TEXT,                           -- the machine, in runs over several
  PRIMARY KEY (repetition_id, row)
) STRICT, WITHOUT ROWID;

CREATE TABLE taps (                    -- taps/<tap>.parquet: what was read from a source while the load ran
  repetition_id INTEGER NOT NULL REFERENCES repetitions ON DELETE CASCADE,
  tap TEXT NOT NULL,
  row INTEGER NOT NULL,
  at_ns INTEGER,
  fields TEXT NOT NULL,                -- JSON: fields ->> 'name' is a number or a text
  PRIMARY KEY (repetition_id, tap, row)
) STRICT, WITHOUT ROWID;

CREATE TABLE collected (               -- collected/<name>.csv: tables that were taken after the load
  repetition_id INTEGER NOT NULL REFERENCES repetitions ON DELETE CASCADE,
  name TEXT NOT NULL,
  row INTEGER NOT NULL,
  fields TEXT NOT NULL,                -- JSON: a text for each column
  PRIMARY KEY (repetition_id, name, row)
) STRICT, WITHOUT ROWID;

CREATE INDEX figures_by_metric ON figures (metric);
CREATE INDEX estimates_by_metric ON estimates (metric);
CREATE INDEX requests_by_response ON requests (response_ns) WHERE step <> '(pass)';
CREATE INDEX windows_with_errors ON windows (kind) WHERE kind = 'error';
