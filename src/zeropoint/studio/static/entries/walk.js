// Entry of the walk: its figures, in the order of the text.

import * as blocks from "../figures/loss/blocks.js";
import * as cancel from "../figures/loss/cancel.js";
import * as density from "../figures/loss/density.js";
import * as divergence from "../figures/loss/divergence.js";
import * as flips from "../figures/loss/flips.js";
import * as formats from "../figures/loss/formats.js";
import * as histogram from "../figures/loss/histogram.js";
import * as ladder from "../figures/loss/ladder.js";
import * as layer from "../figures/loss/layer.js";
import * as model from "../figures/loss/model.js";
import * as neuron from "../figures/loss/neuron.js";
import * as outlier from "../figures/loss/outlier.js";
import * as perplexity from "../figures/loss/perplexity.js";
import * as strip from "../figures/loss/strip.js";
import * as toy from "../figures/loss/toy.js";
import * as speed from "../figures/plan/speed.js";
import * as answer from "../figures/stories/answer.js";
import * as stammer from "../figures/stories/stammer.js";
import * as vanishing from "../figures/training/vanishing.js";
import * as number from "../labs/number.js";
import * as quantizer from "../labs/quantizer.js";
import { mountAll, readIsland } from "../lib/start.js";

readIsland().then((data) =>
  mountAll(
    {
      stammer,
      model,
      neuron,
      number,
      density,
      strip,
      histogram,
      toy,
      quantizer,
      cancel,
      layer,
      blocks,
      outlier,
      perplexity,
      divergence,
      flips,
      speed,
      ladder,
      formats,
      vanishing,
      answer,
    },
    data,
  ),
);
