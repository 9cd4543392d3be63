// The figures of the mock world that follow from others: the R budget, bursts, concealed seconds, the receiver's view.

const RUN_LOWER = (name) => Number.parseInt(name, 10);

/** R points by cause; `left` is the rating there is. */
export function budgetOf(top, ie, left, lossPct, latePct) {
  const gone = Math.max(0, top - ie - left);
  const share = lossPct + latePct > 0 ? lossPct / (lossPct + latePct) : 1;
  return { clean_max: top, codec: ie, loss: gone * share, late: gone * (1 - share), delay: 0 };
}

/** What a stream or an interval has beside its counts. */
export function lossFigures({ lost, expected, runs, bursty, ptimeMs }) {
  const count = bursty ? Object.values(runs).reduce((sum, n) => sum + n, 0) : 0;
  const inside = bursty ? Math.min(expected, Math.round(lost * 1.4)) : 0;
  const rows = Object.entries(runs);
  const mean = rows.length > 0 ? lost / Math.max(1, rows.reduce((sum, [, n]) => sum + n, 0)) : null;
  const gap = Math.max(0, expected - inside);
  const bursts = {
    count, density_pct: inside > 0 ? (100 * lost) / inside : 0, gap_density_pct: bursty || gap === 0 ? 0 : (100 * lost) / gap,
    duration_ms: count > 0 ? (inside * ptimeMs) / count : 0, gap_duration_ms: (gap * ptimeMs) / (count + 1), gap_duration_a2_ms: (gap * ptimeMs) / Math.max(count, 1),
    burst_ratio: mean === null ? 1 : Math.max(1, mean * (1 - lost / expected)), markov_p: lost > 0 ? lost / expected / (mean ?? 1) : 0, markov_q: mean === null ? null : 1 / Math.max(mean, 1),
    mean_loss_run: mean, mean_loss_distance: lost > 1 ? (expected - 1) / lost : null,
  };
  // No packet of the mock's bursts is late besides.
  const asBursts = { ...bursts, markov_p: null, markov_q: null, mean_loss_run: null, mean_loss_distance: null };
  return {
    bursts,
    bursts_lost_or_late: { buffer_ms: 60, ...asBursts },
    concealed_seconds: Math.min(Math.ceil((expected * ptimeMs) / 1000), rows.reduce((sum, [, n]) => sum + n, 0)),
    severely_concealed_seconds: rows.filter(([name]) => RUN_LOWER(name) >= 3).reduce((sum, [, n]) => sum + n, 0),
  };
}

/** Delay figures that follow from the percentiles. */
export function delayFigures(dv) {
  const known = dv.p50 !== null;
  return {
    ipdv_ms: { mean: known ? dv.p50 * 0.8 : null, max: known ? dv.max : null, samples: known ? 499 : null }, mapdv2_ms: known ? dv.p50 * 1.1 : null,
    mapdv2_parts: { above_ms: known ? dv.p50 * 0.7 : null, above_samples: known ? 200 : null, below_ms: known ? dv.p50 * 0.4 : null, below_samples: known ? 300 : null },
    discarded_adaptive_pct: known ? (dv.p99 > 100 ? 1.2 : 0) : null, adaptive_buffer_ms: known ? 40 : null, base_movement: known ? { rise_ms: 0, fall_ms: 0, steps: 0 } : null, max_delta_ms: known ? 20 + dv.max : null, max_skew_ms: known ? -dv.p95 : null,
  };
}

/** The least listed buffer that would have discarded under 0.5 %. */
export function bufferFor(latePct) {
  const found = Object.entries(latePct).sort(([a], [b]) => a - b).find(([, share]) => share !== null && share < 0.5);
  return found ? Number(found[0]) : null;
}

/** The address of an `address:port`. */
export function ip(at) {
  return at.split(":")[0];
}

/** RFC 3339 with nanoseconds, of milliseconds since the epoch. */
export function iso(at) {
  const whole = Math.floor(at);
  const nanos = Math.floor((at - whole) * 1e6);
  return `${new Date(whole).toISOString().slice(0, 23)}${String(nanos).padStart(6, "0")}Z`;
}
