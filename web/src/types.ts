// The API's JSON documents, as the contract of version 1 has them. Times are RFC 3339 UTC, unknown is null.

export type Scale = "nb" | "wb" | "fb";
export type CallClass = "good" | "fair" | "poor" | "failed" | "not_answered" | "unrated";

/** Whose loss is whose, in packets; the three counts add up to those lost. */
export interface LossAttribution {
  capture: number;
  network: number;
  undecided: number;
  evidence: Record<string, number>;
}

export interface Range {
  from: string | null;
  to: string | null;
  calls: number;
  streams: number;
}

export interface TimelineBucket {
  at: string;
  calls: number;
  good: number;
  fair: number;
  poor: number;
  failed: number;
  not_answered: number;
  unrated: number;
}

export interface Timeline {
  from: string;
  to: string;
  bucket_s: number;
  /** What was read: counts of calls (`groups`) or single calls (`raw`). */
  source: "groups" | "raw";
  buckets: TimelineBucket[];
  group_by: string[];
  groups: { key: Record<string, string>; calls: number; buckets: TimelineBucket[] }[];
  truncated: boolean;
}

export interface Party {
  uri: string;
  user: string;
  name: string;
  agent: string;
}

export interface Diagnosis {
  code: string;
  confidence: number;
  evidence: string;
}

/** Times from a request to its automatic answer, ms. */
export interface RoundTrips {
  samples: number;
  min: number;
  max: number;
}

export interface CallRow {
  id: string;
  call_id: string;
  caller: Party;
  callee: Party;
  state: string;
  final_code: number | null;
  final_reason: string | null;
  transport: string | null;
  signalling_src: string | null;
  signalling_dst: string | null;
  first_at: string;
  last_at: string;
  invite_at: string | null;
  ringing_at: string | null;
  answered_at: string | null;
  ended_at: string | null;
  pdd_ms: number | null;
  setup_ms: number | null;
  duration_ms: number | null;
  sdd_ms: number | null;
  released_by: string | null;
  release_reason: string | null;
  reinvites: number;
  auth_rounds: number;
  retry_of: string | null;
  retransmissions: number;
  sip_rtt_ms: { toward_caller: RoundTrips | null; toward_callee: RoundTrips | null };
  messages: number;
  branches: number;
  acked: boolean;
  started_mid_call: boolean;
  shed: boolean | null;
  directions_seen: number;
  stream_ids: string[];
  codecs: string[];
  mos_worst: number | null;
  mos_scale: Scale | null;
  mos_worst_interval: RatedMos | null;
  mos_worst_minute: RatedMos | null;
  mos_worst_minute_at: string | null;
  class: CallClass;
  pdv_p95_worst_ms: number | null;
  loss_pct_worst: number | null;
  loss_source: string | null;
  quality: MeasurementQuality | null;
  diagnosis: string | null;
  diagnoses: Diagnosis[];
  probe: string;
  site: string;
  trunk: string;
}

export interface CallPageOf {
  window: { from: string; to: string };
  calls: CallRow[];
  next_cursor: string | null;
}

export interface Jitter {
  last: number | null;
  mean: number | null;
  max: number | null;
}

export interface DelayVariation {
  p50: number | null;
  p95: number | null;
  p99: number | null;
  p999: number | null;
  max: number | null;
}

/** Points of R on the scale of the rating. `delay` is 0 where the delay is unknown. */
export interface RBudget {
  clean_max: number;
  codec: number;
  loss: number;
  late: number;
  delay: number;
}

/** Lost packets by RFC 3611, Gmin 16. */
export interface Bursts {
  count: number;
  density_pct: number | null;
  gap_density_pct: number | null;
  duration_ms: number | null;
  gap_duration_ms: number | null;
  gap_duration_a2_ms: number | null;
  burst_ratio: number | null;
  markov_p: number | null;
  markov_q: number | null;
  mean_loss_run: number | null;
  mean_loss_distance: number | null;
}

/** What the receiver reports, beside what the probe saw over the same time. */
export interface RemoteView {
  reports: number;
  expected: number | null;
  lost: number | null;
  loss_pct: number | null;
  jitter_last_ms: number | null;
  jitter_max_ms: number | null;
  lost_before_probe: number | null;
  lost_behind_probe: number | null;
  loss_side: string | null;
}

export interface RatedMos {
  lq: number;
  scale: Scale | null;
}

/** What streams and intervals have alike; null in rows stored before it was kept. */
export interface CommonFigures {
  bursts: Bursts | null;
  concealed_seconds: number | null;
  severely_concealed_seconds: number | null;
  ipdv_ms: { mean: number | null; max: number | null };
  mapdv2_ms: number | null;
  late_pct: Record<string, number | null>;
  discarded_adaptive_pct: number | null;
  adaptive_buffer_ms: number | null;
  base_movement: { rise_ms: number; fall_ms: number; steps: number } | null;
  max_delta_ms: number | null;
  max_skew_ms: number | null;
  digits: number | null;
  talkspurts: number | null;
  silence_ms: number | null;
  r_budget: RBudget | null;
}

export interface Mos {
  lq: number | null;
  cq: number | null;
  scale: Scale | null;
  worst_interval: number | null;
  worst_minute: number | null;
  worst_minute_at: string | null;
  bounds: [number, number] | null;
  model: string | null;
  null_reason: string | null;
  ie: number | null;
  bpl: number | null;
  burst_ratio: number | null;
  effective_loss_pct: number | null;
  codec_status: string | null;
  delay_source: string | null;
  delay_ms: number | null;
  jitter_buffer: "adaptive" | "fixed" | null;
  jitter_buffer_ms: number | null;
  beyond_model: boolean | null;
}

export interface MeasurementQuality {
  capture_drops: number;
  duplicates_removed: number;
  one_sided: boolean;
  snap_cut: boolean;
  started_mid_call: boolean;
  shed: boolean;
  clock_steps: number;
  /** `capture_file`, `kernel` or `adapter`. */
  timestamp_source: string | null;
  timestamp_resolution_ns: number | null;
  /** `none`, `clumped` or `coarse`; null where it cannot be told. */
  timestamp_fault: string | null;
  timestamp_error_ms: number | null;
  sampled_one_of: number | null;
  loss_source: string | null;
  loss_evidence: string | null;
  loss_attribution: LossAttribution | null;
}

export interface StreamRow extends CommonFigures {
  id: string;
  call_id: string | null;
  call: string | null;
  src: string;
  dst: string;
  ssrc: string;
  codec: string | null;
  clock_rate: number | null;
  clock_source: string | null;
  clock_rate_signalled: number | null;
  payload_types: { pt: number; packets: number }[];
  ptime_ms: number | null;
  first_at: string;
  last_at: string;
  packets: number;
  unique: number;
  expected: number;
  lost: number;
  loss_pct: number | null;
  duplicates_probe: number;
  duplicates_network: number;
  reordered: number;
  reorder_extent: number;
  restarts: number;
  strays: number;
  sent_elsewhere: number;
  loss_runs: Record<string, number>;
  longest_loss_run: number;
  jitter_ms: Jitter;
  delay_variation_ms: DelayVariation;
  max_gap_ms: number | null;
  drift_ppm: number | null;
  telephone_events: number;
  comfort_noise: number;
  dscp: number | null;
  dscp_changes: number;
  ttl_min: number | null;
  ttl_max: number | null;
  vlan: number | null;
  tunnel: string | null;
  rtt_ms: number | null;
  remote: RemoteView | null;
  r: number | null;
  mos: Mos;
  quality: MeasurementQuality;
  probe: string;
  site: string;
  trunk: string;
}

export interface IntervalRow extends CommonFigures {
  start_at: string;
  length_ms: number;
  packets: number;
  unique: number;
  expected: number;
  lost: number;
  loss_runs: Record<string, number>;
  longest_loss_run: number;
  reordered: number;
  reorder_extent: number | null;
  duplicates_probe: number;
  duplicates_network: number;
  restarts: number;
  jitter_ms: Jitter;
  delay_variation_ms: DelayVariation;
  max_gap_ms: number | null;
  drift_ppm: number | null;
  r: number | null;
  mos_lq: number | null;
  mos_cq: number | null;
  mos_scale: Scale | null;
  mos_null_reason: string | null;
  mos_bounds: [number, number] | null;
  mos_model: string | null;
  ie: number | null;
  bpl: number | null;
  burst_ratio: number | null;
  effective_loss_pct: number | null;
  codec_status: string | null;
  delay_source: string | null;
  delay_ms: number | null;
  jitter_buffer: "adaptive" | "fixed" | null;
  jitter_buffer_ms: number | null;
  mos_beyond_model: boolean | null;
  capture_drops: number;
  one_sided: boolean;
  snap_cut: boolean;
  clock_steps: number | null;
  loss_source: string | null;
  loss_evidence: string | null;
  loss_attribution: LossAttribution | null;
}

export interface SipMessage {
  at: string;
  src: string;
  dst: string;
  transport: string;
  direction: "request" | "response";
  method: string;
  status: number | null;
  reason: string | null;
  cseq: number;
  retransmission: boolean;
  headers: string;
  sdp: string;
  cut_short: boolean;
}

export interface VoipMetrics {
  loss_pct: number | null;
  discard_pct: number | null;
  r: number | null;
  mos_lq: number | null;
  mos_cq: number | null;
  round_trip_ms: number | null;
  end_system_ms: number | null;
  burst_ms: number | null;
  gap_ms: number | null;
  jb_nominal_ms: number | null;
  burst_density_pct: number | null;
  gap_density_pct: number | null;
  gmin: number | null;
  signal_dbm: number | null;
  noise_dbm: number | null;
  rerl_db: number | null;
  external_r: number | null;
  rx_config: number | null;
  jb_maximum_ms: number | null;
  jb_absolute_maximum_ms: number | null;
}

/** What a report by SIP says of one side beyond that. */
export interface VqMeasured {
  side: "local" | "remote" | null;
  start_at: string | null;
  stop_at: string | null;
  one_way_delay_ms: number | null;
  symmetric_one_way_delay_ms: number | null;
  interarrival_jitter_ms: number | null;
  mean_absolute_jitter_ms: number | null;
  r_cq: number | null;
  external_r_out: number | null;
  described: Record<string, string>;
}

export interface RtcpRow {
  at: string;
  src: string;
  dst: string;
  kind: string;
  reporter_ssrc: string;
  about_ssrc: string | null;
  stream: string | null;
  fraction_lost_pct: number | null;
  cumulative_lost: number | null;
  jitter_ms: number | null;
  rtt_probe_reporter_ms: number | null;
  sent_packets: number | null;
  voip: VoipMetrics | null;
  vq: VqMeasured | null;
  implausible: string | null;
}

export interface CallDetail {
  call: CallRow;
  streams: StreamRow[];
  intervals: Record<string, IntervalRow[]>;
  ladder: SipMessage[];
  rtcp: RtcpRow[];
  truncated: boolean;
}

export interface StatsGroup {
  key: Record<string, string>;
  at: string | null;
  streams: number;
  intervals: number;
  calls: number | null;
  packets: number;
  expected: number;
  lost: number;
  loss_pct: number | null;
  lost_by_source: { network: number; capture: number; suspected_capture: number };
  reordered: number;
  delay_variation_ms: { p50: number | null; p95: number | null; p99: number | null; p999: number | null };
  late_pct: Record<string, number | null>;
  buffer_ms_for_0_5_pct: number | null;
  jitter_ms: { p50: number | null; p95: number | null; p99: number | null };
  jitter_max_ms: number | null;
  loss_runs: Record<string, number>;
  mos: { scale: Scale; p5: number | null; p50: number | null; intervals: number }[];
  mos_under_3_6: number;
  mos_under_3_1: number;
  one_sided: number;
}

export interface Stats {
  window: { from: string; to: string };
  group_by: string[];
  bucket_s: number | null;
  source: "groups" | "raw";
  groups: StatsGroup[];
  truncated: boolean;
}

export interface LiveSnapshot {
  at: string | null;
  calls: number;
  streams: number;
  frames_per_s: number | null;
  capture_drops: number;
  calls_bad: number;
  /** What the capture itself does to the figures, as of the last interval. */
  capture_findings: { code: string; text: string }[];
}

export interface LiveCall {
  id: string;
  call_id: string;
  state: string;
  diagnosis: string | null;
  class: CallClass;
  /** The call is over; its row is in the store within seconds. */
  ended: boolean;
}

/** A group of a rule that is not ok. */
export interface Alert {
  id: string;
  rule: string;
  severity: string;
  state: string;
  judgement: string;
  measure: string;
  unit: string;
  group: Record<string, string>;
  since: string | null;
  from: string;
  to: string;
  value: number | null;
  bound: number | null;
  limit: number | null;
  samples: number;
  sample_unit: string;
  capture_loss_pct: number;
  inhibited_by: string | null;
  summary: string;
  description: string;
  calls: string | null;
  worst_calls: string[];
  silenced_by: string | null;
}

export interface Silence {
  id: string;
  rule: string;
  labels: Record<string, string>;
  from: string;
  to: string;
  reason: string;
  by: string;
  active: boolean;
  forwarded: number;
  refused: string | null;
}

export interface NewSilence {
  rule: string;
  labels: Record<string, string>;
  hours: number;
  reason: string;
  by: string;
}

export interface Alerts {
  alerts: Alert[];
  counts: Record<string, number>;
  truncated: boolean;
  evaluated: boolean;
  rules: number;
  rule_texts: Record<string, string>;
  silences: Silence[];
  may_silence: boolean;
}

/** An alert that fired, from its firing to its end. */
export interface PastAlert {
  id: string;
  probe: string;
  site: string;
  rule: string;
  severity: string;
  measure: string;
  unit: string;
  group: Record<string, string>;
  fired_at: string;
  ended_at: string | null;
  last_at: string;
  peak: number | null;
  limit: number | null;
  samples: number;
  sample_unit: string;
  summary: string;
  inhibited_by: string | null;
  silenced_by: string | null;
  worst_calls: string[];
}

export interface AlertHistory {
  window: { from: string; to: string };
  alerts: PastAlert[];
}

export interface AlertEvaluation {
  at: string;
  probe: string;
  state: string;
  judgement: string;
  value: number | null;
  low: number | null;
  high: number | null;
  limit: number | null;
  samples: number;
  capture_loss_pct: number;
  baseline: number | null;
  baseline_spread: number | null;
}

export interface AlertEvaluations {
  window: { from: string; to: string };
  evaluations: AlertEvaluation[];
}
