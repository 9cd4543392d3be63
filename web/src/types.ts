// The API's JSON documents by the names the page uses. Their shapes are in openapi.d.ts, which `npm run generate` in web/types makes of
// schemas/openapi.json; a test fails when it is not that of the document.

import type { components } from "./openapi";

type Schemas = components["schemas"];

export type Alert = Schemas["AlertJson"];
export type AlertEvaluation = Schemas["EvaluationJson"];
export type AlertEvaluations = Schemas["EvaluationsJson"];
export type AlertHistory = Schemas["AlertHistoryJson"];
export type Alerts = Schemas["AlertsJson"];
export type Bursts = Schemas["BurstsJson"];
export type CallClass = Schemas["CallJson"]["class"];
export type CallDetail = Schemas["DetailJson"];
export type CallPageOf = Schemas["CallsJson"];
export type CallRow = Schemas["CallJson"];
export type DelayVariation = Schemas["DelayVariationJson"];
export type Diagnosis = Schemas["DiagnosisJson"];
export type IntervalRow = Schemas["IntervalJson"];
export type Jitter = Schemas["JitterJson"];
export type LiveCall = Schemas["LiveChange"];
export type LiveSnapshot = Schemas["LiveSnapshot"];
export type LossAttribution = Schemas["LossAttributionJson"];
export type MeasurementQuality = Schemas["QualityJson"];
export type Mos = Schemas["MosJson"];
export type NewSilence = Schemas["NewSilence"];
export type Outcome = Schemas["OutcomeJson"];
export type Outcomes = Schemas["OutcomesJson"];
export type Party = Schemas["PartyJson"];
export type PastAlert = Schemas["PastAlertJson"];
export type RBudget = Schemas["BudgetJson"];
export type Range = Schemas["RangeJson"];
export type RatedMos = Schemas["RatedJson"];
export type RemoteView = Schemas["RemoteJson"];
export type RoundTrips = Schemas["RoundTripsJson"];
export type RtcpRow = Schemas["RtcpJson"];
export type Scale = NonNullable<Schemas["RatedJson"]["scale"]>;
export type Silence = Schemas["SilenceJson"];
export type SipMessage = Schemas["SipMessageJson"];
export type Stats = Schemas["StatsJson"];
export type StatsGroup = Schemas["GroupJson"];
export type StreamRow = Schemas["StreamJson"];
export type Timeline = Schemas["TimelineJson"];
export type TimelineBucket = Schemas["BucketJson"];
export type VoipMetrics = Schemas["VoipJson"];
export type VqMeasured = Schemas["VqJson"];

/** What streams and intervals have alike. */
export type CommonFigures = Pick<StreamRow & IntervalRow, Extract<keyof StreamRow, keyof IntervalRow>>;
