// Two or three lines under a direction's figures: where it lost packets, and how far to trust what stands there.

import { Term } from "../parts";
import type { CallDetail, StreamRow } from "../types";
import { boundsSentence, lossSentence, missing, trustOf } from "../words";
import { remoteSentence } from "./remote";
import { LevelMark, levelWord } from "./trust";

export function DirectionTrust({ detail, stream }: { detail: CallDetail; stream: StreamRow }) {
  const gaps = missing(stream);
  const level = trustOf(stream);
  return (
    <dl class="lines">
      <div>
        <dt>
          <Term of="the-receiver-s-view">Loss location</Term>
        </dt>
        <dd>{remoteSentence(detail, stream)}</dd>
      </div>
      <div>
        <dt>
          <Term of="whose-loss-it-is">Loss attribution</Term>
        </dt>
        <dd>{lossSentence(stream)}</dd>
      </div>
      <div>
        <dt>
          <Term of="bounds">MOS range</Term>
        </dt>
        <dd>{boundsSentence(stream)}</dd>
      </div>
      <div>
        <dt>
          <Term of="how-far-to-trust-a-row">Measurement</Term>
        </dt>
        <dd>
          <LevelMark of={level} /> <b>{levelWord(level)}.</b> {gaps.length === 0 ? "Nothing is missing." : `Missing: ${gaps.join("; ")}.`}
        </dd>
      </div>
    </dl>
  );
}
