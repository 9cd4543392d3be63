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
          <Term of="the-receiver-s-view">Side of the probe</Term>
        </dt>
        <dd>{remoteSentence(detail, stream)}</dd>
      </div>
      <div>
        <dt>
          <Term of="whose-loss-it-is">Whose loss</Term>
        </dt>
        <dd>{lossSentence(stream)}</dd>
      </div>
      <div>
        <dt>
          <Term of="bounds">MOS-LQ bounds</Term>
        </dt>
        <dd>{boundsSentence(stream)}</dd>
      </div>
      <div>
        <dt>
          <Term of="how-far-to-trust-a-row">Trust</Term>
        </dt>
        <dd>
          <LevelMark of={level} /> <b>{levelWord(level)}.</b> {gaps.length === 0 ? "Nothing was missing." : `Missing: ${gaps.join("; ")}.`}
        </dd>
      </div>
    </dl>
  );
}
