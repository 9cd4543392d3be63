// Codes of the API in the words of a NOC engineer.

import { mos, number, percent, plural } from "./format";
import type { CallClass, CallDetail, CallRow, LossAttribution, MeasurementQuality, RemoteView, StreamRow } from "./types";

const DIAGNOSES: Record<string, { title: string; hint: string }> = {
  setup_failed: { title: "Call failed", hint: "A final response of 300 or above ended the attempt." },
  no_response: { title: "INVITE unanswered", hint: "No response of any kind came to the INVITE." },
  no_media: { title: "No media", hint: "Answered, and no RTP was seen either way." },
  one_way_media: { title: "One-way media", hint: "Answered, and one side does not hear the other: RTCP, ICMP or SDP says so." },
  media_not_seen: { title: "One direction not seen", hint: "Answered, and RTP of one direction was not seen at this probe. Whether it was received is not known." },
  media_elsewhere: { title: "Media takes another path", hint: "Not seen at this probe, and its receiver reports it by RTCP." },
  media_interrupted: { title: "Media interrupted", hint: "RTP stopped while the call went on." },
  random_loss: { title: "Random loss", hint: "Packets lost one by one, spread over the call." },
  bursty_loss: { title: "Bursty loss", hint: "Packets lost in runs; concealment does not cover these." },
  high_delay_variation: { title: "High delay variation", hint: "More than a usual jitter buffer absorbs." },
  reordering: { title: "Reordering", hint: "Packets came in another order than sent." },
  low_quality_codec: { title: "Low-quality codec", hint: "The codec alone limits the quality; the network is not the cause." },
  long_delay: { title: "Long delay", hint: "The round trip is too long for conversation." },
  capture_loss: { title: "Capture loss suspected", hint: "The probe itself missed packets; the call may have been fine." },
  missing_ack: { title: "No ACK seen", hint: "Answered, and the caller never acknowledged." },
  missing_bye: { title: "No BYE seen", hint: "The call's end was not seen." },
  slow_setup: { title: "Slow setup", hint: "Long wait before the first ring." },
  queue_build_up: { title: "Delay rose steadily", hint: "A queue fills on the way. No packet is lost by it, but the conversation gets slower." },
  low_mos: { title: "Low MOS, cause unclear", hint: "No single cause reaches its threshold; the evidence says which were ruled out." },
  route_change: { title: "Step in delay", hint: "The route may have changed. Receivers follow within seconds." },
  clock_mismatch: { title: "Clock rate contradicts SDP", hint: "Timestamps run at another clock rate than SDP names; figures use the one on the wire." },
  unnegotiated_payload: { title: "Unnegotiated payload type", hint: "Packets with a payload type that SDP does not have." },
};

export const DIAGNOSIS_CODES = Object.keys(DIAGNOSES);

export function diagnosisTitle(code: string): string {
  return DIAGNOSES[code]?.title ?? sentence(code);
}

export function diagnosisHint(code: string): string {
  return DIAGNOSES[code]?.hint ?? "";
}

const STATES: Record<string, string> = {
  trying: "Trying",
  proceeding: "Ringing",
  established: "In progress",
  completed: "Completed",
  cancelled: "Cancelled by caller",
  failed: "Call failed",
  setup_timeout: "No final answer",
  unfinished: "No end captured",
  mid_call: "Joined mid-call",
};

// Calls that are up are listed from the live view; no stored call has this state.
export const ACTIVE = "active";

export const STATE_CODES = [ACTIVE, ...Object.keys(STATES)];

export function stateWord(state: string): string {
  if (state === ACTIVE) return "Up now";
  return STATES[state] ?? sentence(state);
}

const CLASSES: Record<CallClass, { word: string; hint: string }> = {
  good: { word: "Good", hint: "R 80 or above in its worst minute, and no fault found" },
  fair: { word: "Fair", hint: "R from 60 to 80, or a fault that is heard" },
  poor: { word: "Poor", hint: "R below 60, or media interrupted" },
  failed: { word: "Failed", hint: "not set up, INVITE unanswered, or no media at least one way" },
  not_answered: { word: "Not answered", hint: "busy, declined, cancelled, no answer or wrong number" },
  unrated: { word: "Not rated", hint: "no MOS could be given" },
};

export const CLASS_ORDER: CallClass[] = ["failed", "poor", "fair", "not_answered", "unrated", "good"];

export function classWord(of: CallClass): string {
  return CLASSES[of].word;
}

export function classHint(of: CallClass): string {
  return CLASSES[of].hint;
}

/** The verdict in words: the first diagnosis, else how the call went. */
export function verdict(call: CallRow): { title: string; detail: string } {
  const first = call.diagnoses[0];
  if (first?.code === "setup_failed" && call.final_code !== null) return { title: `Call failed (${call.final_code})`, detail: first.evidence };
  if (first) return { title: diagnosisTitle(first.code), detail: first.evidence };
  if (call.diagnosis) return { title: diagnosisTitle(call.diagnosis), detail: diagnosisHint(call.diagnosis) };
  switch (call.class) {
    case "good":
      return { title: "Good", detail: ["completed", "established"].includes(call.state) ? "" : stateWord(call.state) };
    case "fair":
    case "poor":
      return { title: `${classWord(call.class)} quality`, detail: "no single cause stands out" };
    case "failed":
      return { title: stateWord(call.state), detail: finalAnswer(call) };
    case "not_answered":
      return { title: outcomeWord(call), detail: finalAnswer(call) };
    case "unrated":
      return { title: stateWord(call.state), detail: call.stream_ids.length > 0 ? "not rated" : "no media" };
  }
}

const OUTCOMES: Record<number, string> = { 404: "Unknown number", 480: "Unavailable", 484: "Incomplete number", 486: "Busy", 600: "Busy", 603: "Declined", 604: "Unknown number" };

/** `Busy (486)`; a call that was given up is `Cancelled by caller`. */
function outcomeWord(call: CallRow): string {
  const word = call.final_code === null ? undefined : OUTCOMES[call.final_code];
  return word ? `${word} (${call.final_code})` : stateWord(call.state);
}

/** Evidence with its figures before the addresses it begins with, for where a line is cut. */
export function figuresFirst(evidence: string): string {
  const found = evidence.match(/^(\S+ to \S+): (.+)$/);
  return found ? `${found[2]}; ${found[1]}` : evidence;
}

/** `486 Busy Here`, empty when there was none. */
export function finalAnswer(call: CallRow): string {
  return call.final_code === null ? "" : `${call.final_code} ${call.final_reason ?? ""}`.trim();
}

const LOSS_SOURCES: Record<string, string> = {
  none: "nowhere: nothing was lost",
  network: "in the network",
  capture: "by the probe itself, which dropped frames in the same interval",
  suspected_capture: "probably by the probe itself",
};

export function lossSource(source: string | null): string {
  return source ? (LOSS_SOURCES[source] ?? sentence(source)) : "unknown";
}

const LOSS_EVIDENCE: Record<string, string> = {
  capture_drops: "the probe counted dropped frames at that time",
  receiver_lost_them: "the receiver's RTCP agrees",
  receiver_got_them: "the receiver reports most of what the probe missed as received",
  many_streams_at_once: "gaps of streams with no host in common begin together",
  both_directions_at_once: "both directions miss packets at the same moments",
  sampled_capture: "all streams miss the same large share: the capture sees one packet of several",
};

/** Whose loss it is and what speaks for it. */
export function lossBlame(source: string | null, evidence: string | null): string {
  if (evidence) return `${lossSource(source)}: ${LOSS_EVIDENCE[evidence] ?? sentence(evidence).toLowerCase()}`;
  return source === "network" ? `${lossSource(source)}: assumed; no corroborating RTCP` : lossSource(source);
}

export function captureBlamed(source: string | null): boolean {
  return source === "capture" || source === "suspected_capture";
}

/** Whose loss one direction's is, as a sentence. */
export function lossSentence({ lost, quality }: StreamRow): string {
  if (lost === 0) return "Nothing is missing at the probe.";
  return `Lost ${lossBlame(quality.loss_source, quality.loss_evidence)}.${lossCounts(quality.loss_attribution)}`;
}

/** Whose loss is whose, in packets, where it is not all of one. */
function lossCounts(loss: LossAttribution | null | undefined): string {
  if (!loss) return "";
  const parts = [
    [loss.capture, "by the capture"],
    [loss.network, "in the network"],
    [loss.undecided, "undecided"],
  ].filter(([count]) => Number(count) > 0);
  return parts.length > 1 ? ` Packets: ${parts.map(([count, where]) => `${number(Number(count))} ${where}`).join(", ")}.` : "";
}

/** How far the blame for the loss moves the MOS. */
export function boundsSentence({ lost, mos: { lq, bounds, reason_null }, quality }: StreamRow): string {
  const captured = quality.loss_attribution?.capture ?? (captureBlamed(quality.loss_source) ? lost : 0);
  const wrongTimes = timesWrongBy(quality) !== null;
  if (bounds && wrongTimes && captured === 0) return `${mos(bounds[0])} if late packets were late, ${mos(bounds[1])} without them: the times of the capture do not tell.`;
  if (bounds && wrongTimes) return `${mos(bounds[0])} if all of the loss is the network's and late packets were late, ${mos(bounds[1])} without what the capture may have done.`;
  if (bounds) return `${mos(bounds[0])} if all of the loss is the network's, ${mos(bounds[1])} without what the capture may have lost.`;
  if (lq === null) return `– no MOS: ${nullReason(reason_null)}.`;
  if (lost === 0) return `n/a: nothing was lost; MOS ${mos(lq)}.`;
  const doubted = captureBlamed(quality.loss_source) ? "not stored for this row" : "all of the loss counts as the network's";
  return `n/a: ${doubted}; MOS ${mos(lq)}.`;
}

/** Fewer lost packets than that are never held against anything. */
const TELLING_LOSS = 3;

function blameAssumed(lost: number, { loss_source, loss_evidence }: StreamRow["quality"]): boolean {
  return lost >= TELLING_LOSS && loss_source === "network" && loss_evidence === null;
}

/** How much a direction's figures hold: `ok` also where all that is missing spoils none of them. */
export function trustOf(stream: StreamRow): "ok" | "care" | "doubt" {
  const { quality } = stream;
  if (quality.capture_drops > 0 || quality.sampled_one_of !== null || captureBlamed(quality.loss_source)) return "doubt";
  return missing({ ...stream, quality: { ...quality, snap_cut: false } }).length > 0 ? "care" : "ok";
}

/** What the probe did not see of one direction, or saw with a doubt. */
export function missing({ lost, quality, clock_source }: StreamRow): string[] {
  const { capture_drops, started_mid_call, shed, one_sided, snap_cut, clock_steps } = quality;
  const captured = quality.loss_attribution?.capture ?? 0;
  const error = timesWrongBy(quality);
  return [
    quality.sampled_one_of !== null && `most packets: the capture sees one of ${number(quality.sampled_one_of)}, so loss and MOS are unknown`,
    blameAssumed(lost, quality) && "RTCP that confirms the loss attribution: the network is assumed",
    capture_drops > 0 && `${plural(capture_drops, "frame")} that the probe dropped meanwhile: loss may be its own`,
    capture_drops === 0 &&
      captured > 0 &&
      quality.sampled_one_of === null &&
      `${plural(captured, "packet")} that the capture lost: they are in the loss and the MOS, the bounds leave them out`,
    started_mid_call && "the start: the first packet seen was not the first of the call",
    shed && "the end: the table of streams was full, and this one made room",
    one_sided && "the other direction: only this one was seen",
    clock_source === "wire" && "the clock rate of SDP: timestamps refute it, figures use theirs",
    clock_source === "inferred" && "the clock rate: inferred from timestamps, not told by SDP",
    clock_source === null && "the clock rate: without it there is no jitter and no delay variation",
    error !== null && `exact capture times: ${error}`,
    clock_steps > 0 && `steady capture times: ${plural(clock_steps, "clock step")}`,
    snap_cut && "the ends of packets, cut by the snap length: figures come from headers and are whole",
  ].filter((text): text is string => text !== false);
}

/** How the times of a row are wrong; null where they are not, as far as known. */
export function timesWrongBy({ timestamp_fault, timestamp_error_ms }: MeasurementQuality): string | null {
  if (timestamp_error_ms === null || (timestamp_fault !== "clumped" && timestamp_fault !== "coarse")) return null;
  const what = timestamp_fault === "clumped" ? "frames come in clumps" : "the clock of the capture is coarse";
  const judged = timestamp_error_ms < 4 ? "" : "; delay variation and late packets are not judged";
  return `${what}, times are wrong by up to ${timestamp_error_ms.toFixed(1)} ms${judged}`;
}

const CAPTURE_FINDINGS: Record<string, string> = {
  sampled: "sampled",
  blackout: "interrupted",
  clumped: "clumped times",
  coarse: "coarse times",
  one_sided: "one direction only",
  loss: "loses packets",
  clock_steps: "clock was set",
};

/** What the capture itself does to the figures, in a word or two. */
export function captureFinding(code: string): string {
  return CAPTURE_FINDINGS[code] ?? sentence(code).toLowerCase();
}

/** On which side of the probe a direction's packets were lost, by its receiver's reports. */
export function lossSide(remote: RemoteView): string {
  const { expected, lost_before_probe: before, lost_behind_probe: behind, loss_side } = remote;
  const share = (packets: number | null): string => {
    const of = packets === null || !expected ? null : percent((100 * packets) / expected);
    return packets === null ? "an unknown number of packets" : `${plural(packets, "packet")}${of ? ` (${of})` : ""}`;
  };
  switch (loss_side) {
    case "none":
      return "Under 3 packets lost upstream and downstream of the probe.";
    case "before_probe":
      return `Upstream loss: ${share(before)}; downstream: ${(behind ?? 0) > 0 ? share(behind) : "none"}.`;
    case "behind_probe":
      return `Downstream loss: ${share(behind)} between the probe and the receiver; upstream: ${(before ?? 0) > 0 ? share(before) : "none"}.`;
    case "both":
      return `Upstream loss: ${share(before)}; downstream: ${share(behind)}.`;
    case "capture":
      return `Missed by the capture, not lost: the receiver got ${behind === null ? "most" : number(-behind)} of the ${share(before)} missing here.`;
    default:
      return loss_side ? `${sentence(loss_side)}.` : "The reports do not show on which side of the probe packets were lost.";
  }
}

/** Why there is no view of the receiver, after so many of its reports. */
export function noRemote(reports: number): string {
  if (reports === 0) return "The receiver sends no RTCP that passes the probe, so downstream loss is unknown.";
  if (reports === 1) return "One RTCP report of the receiver was seen, and it takes two to compare, so downstream loss is unknown.";
  return `The receiver's ${number(reports)} RTCP reports do not count on from each other, so downstream loss is unknown.`;
}

const NULL_REASONS: Record<string, string> = {
  no_media: "no packet came",
  not_audio: "not audio",
  unknown_codec: "nobody published figures for this codec",
  too_few_packets: "fewer than 25 packets, one lost packet would decide it",
  sampled_capture: "the capture sees one packet of several, so nothing is known of loss",
  codec_without_loss_robustness: "packets were lost or late, and nobody published how this codec bears that",
};

/** Why there is no MOS. */
export function nullReason(code: string | null): string {
  return code ? (NULL_REASONS[code] ?? code.replaceAll("_", " ")) : "the row does not say why";
}

/** Why a call's key facts are unknown, where they are. */
export function unknownFacts({ call, streams }: CallDetail): Record<"mos" | "delay" | "loss" | "duration" | "ring" | "setup", string> {
  const unanswered = call.answered_at === null ? (call.started_mid_call ? "answer not seen" : "not answered") : null;
  const media = streams.length === 0 ? "no media" : null;
  const reasons = new Set(streams.flatMap((stream) => (stream.mos.reason_null ? [nullReason(stream.mos.reason_null)] : [])));
  return {
    mos: media ?? ([...reasons].join("; ") || "no interval was rated"),
    delay: media ?? "no delay was measured",
    loss: media ?? "nothing was expected",
    duration: unanswered ?? (call.state === "established" ? "in progress" : "no end captured"),
    ring: call.invite_at === null ? "INVITE not seen" : "no ringing seen",
    setup: call.invite_at === null ? "INVITE not seen" : (unanswered ?? "not known"),
  };
}

/** Which buffer is large enough, of those looked at. `limit` is the share it has to stay below. */
export function bufferSentence(found: { size: number; share: number } | null, smallest: number, largest: number, limit: string): string {
  if (!found) return `Not even a buffer of ${number(largest)}\u202fms stays below ${limit} of packets too late.`;
  const share = found.share === 0 ? "none is too late" : `${percent(found.share)} too late`;
  return found.size === smallest
    ? `A buffer of ${number(found.size)}\u202fms, the smallest looked at, stays below ${limit}: ${share}.`
    : `The smallest buffer that stays below ${limit} is ${number(found.size)}\u202fms: ${share}.`;
}

const CLOCK_SOURCES: Record<string, string> = {
  sdp: "from SDP (a=rtpmap)",
  static: "from the static payload type (RFC 3551)",
  inferred: "inferred from timestamps against arrival",
  wire: "from timestamps against arrival, which contradict SDP",
};

export function clockSource(source: string | null): string {
  return source ? (CLOCK_SOURCES[source] ?? sentence(source)) : "unknown: delay figures in ticks could not be converted";
}

const RTCP_KINDS: Record<string, string> = {
  sender_report: "SR",
  receiver_report: "RR",
  bye: "BYE",
  voip_metrics: "XR VoIP metrics",
  vq_report: "RFC 6035 report",
};

export function rtcpKind(kind: string): string {
  return RTCP_KINDS[kind] ?? sentence(kind);
}

const PARTIES: Record<string, string> = {
  caller: "Caller",
  callee: "Callee",
  timeout: "Timeout",
  probe_stopped: "Probe stopped",
  capture_ended: "No end captured",
};

export function releasedBy(party: string | null): string {
  return party ? (PARTIES[party] ?? sentence(party)) : "";
}

/** `some_code` as `Some code`, for codes newer than this page. */
export function sentence(code: string): string {
  const text = code.replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}
