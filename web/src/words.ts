// Codes of the API in the words of a NOC engineer.

import type { CallClass, CallRow } from "./types";

const DIAGNOSES: Record<string, { title: string; hint: string }> = {
  setup_failed: { title: "Setup refused", hint: "A final answer of 300 or above ended the attempt." },
  no_response: { title: "No response", hint: "Nobody answered the INVITE at all." },
  no_media: { title: "No media", hint: "Answered, and no RTP was seen either way." },
  one_way_media: { title: "One-way media", hint: "Answered, and RTP was seen in one direction only." },
  media_interrupted: { title: "Media interrupted", hint: "RTP stopped while the call went on." },
  random_loss: { title: "Random loss", hint: "Packets lost one by one, spread over the call." },
  bursty_loss: { title: "Bursty loss", hint: "Packets lost in runs; concealment does not cover these." },
  high_delay_variation: { title: "High delay variation", hint: "More than a usual jitter buffer absorbs." },
  reordering: { title: "Reordering", hint: "Packets came in another order than sent." },
  low_quality_codec: { title: "Low-quality codec", hint: "The codec alone keeps the quality low; the network is not to blame." },
  long_delay: { title: "Long delay", hint: "The round trip is too long for conversation." },
  capture_loss: { title: "Capture loss suspected", hint: "The probe itself missed packets; the call may have been fine." },
  missing_ack: { title: "ACK missing", hint: "Answered, and the caller never acknowledged." },
  missing_bye: { title: "BYE missing", hint: "The call's end was not seen." },
  slow_setup: { title: "Slow setup", hint: "Long wait before the first ring." },
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
  failed: "Setup refused",
  setup_timeout: "No final answer",
  unfinished: "End not seen",
  mid_call: "Start not seen",
};

export const STATE_CODES = Object.keys(STATES);

export function stateWord(state: string): string {
  return STATES[state] ?? sentence(state);
}

const CLASSES: Record<CallClass, { word: string; hint: string }> = {
  good: { word: "Good", hint: "R 80 or above on the scale of its model" },
  fair: { word: "Fair", hint: "R from 60 to 80" },
  poor: { word: "Poor", hint: "R below 60" },
  failed: { word: "Failed", hint: "not set up, no response, or no media at least one way" },
  unrated: { word: "Not rated", hint: "no MOS could be given" },
};

export const CLASS_ORDER: CallClass[] = ["failed", "poor", "fair", "unrated", "good"];

export function classWord(of: CallClass): string {
  return CLASSES[of].word;
}

export function classHint(of: CallClass): string {
  return CLASSES[of].hint;
}

const SPOILT = new Set(["media_interrupted"]);

/** The mark of a call: its class, unless the verdict knows of something worse than a MOS can say. */
export function severity(call: CallRow): CallClass {
  if (call.class === "failed") return "failed";
  if (call.diagnoses.some(({ code }) => SPOILT.has(code))) return "poor";
  return call.class === "good" && call.diagnoses.length > 0 ? "fair" : call.class;
}

/** The verdict in words: the first diagnosis, else how the call went. */
export function verdict(call: CallRow): { title: string; detail: string } {
  const first = call.diagnoses[0];
  if (first) return { title: diagnosisTitle(first.code), detail: first.evidence };
  if (call.diagnosis) return { title: diagnosisTitle(call.diagnosis), detail: diagnosisHint(call.diagnosis) };
  switch (call.class) {
    case "good":
      return { title: "Good", detail: call.state === "completed" ? "" : stateWord(call.state) };
    case "fair":
    case "poor":
      return { title: `${classWord(call.class)} quality`, detail: "no single cause stands out" };
    case "failed":
      return { title: stateWord(call.state), detail: finalAnswer(call) };
    case "unrated":
      return { title: stateWord(call.state), detail: call.stream_ids.length > 0 ? "not rated" : "no media" };
  }
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
  capture_drops: "it counted dropped frames then",
  receiver_lost_them: "the receiver's own reports miss them too",
  receiver_got_them: "the receiver reports most of what the probe missed as received",
  many_streams_at_once: "gaps of streams with no host in common begin together",
  both_directions_at_once: "both directions miss packets at the same moments",
};

/** Whose loss it is and what speaks for it. */
export function lossBlame(source: string | null, evidence: string | null): string {
  if (evidence) return `${lossSource(source)}: ${LOSS_EVIDENCE[evidence] ?? sentence(evidence).toLowerCase()}`;
  return source === "network" ? `${lossSource(source)}: taken for granted, nothing speaks for or against it` : lossSource(source);
}

export function captureBlamed(source: string | null): boolean {
  return source === "capture" || source === "suspected_capture";
}

const CLOCK_SOURCES: Record<string, string> = {
  sdp: "from SDP (a=rtpmap)",
  static: "from the static payload type (RFC 3551)",
  inferred: "inferred from timestamps against arrival",
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

const PARTIES: Record<string, string> = { caller: "Caller", callee: "Callee", timeout: "Timeout" };

export function releasedBy(party: string | null): string {
  return party ? (PARTIES[party] ?? sentence(party)) : "";
}

/** `some_code` as `Some code`, for codes newer than this page. */
export function sentence(code: string): string {
  const text = code.replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}
