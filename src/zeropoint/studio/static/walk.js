// The walk: nineteen figures, read from top to bottom.

import * as model from "./model.js";
import * as neuron from "./neuron.js";
import * as number from "./number.js";
import * as density from "./density.js";
import * as strip from "./strip.js";
import * as histogram from "./histogram.js";
import * as toy from "./toy.js";
import * as quantizer from "./quantizer.js";
import * as layer from "./layer.js";
import * as blocks from "./blocks.js";
import * as outlier from "./outlier.js";
import * as perplexity from "./perplexity.js";
import * as divergence from "./divergence.js";
import * as flips from "./flips.js";
import * as speed from "./speed.js";
import * as ladder from "./ladder.js";
import * as formats from "./formats.js";
import { mountAll, readIsland } from "./start.js";

readIsland().then((data) => mountAll({ model, neuron, number, density, strip, histogram, toy, quantizer, layer, blocks,
  outlier, perplexity, divergence, flips, speed, ladder, formats }, data));
