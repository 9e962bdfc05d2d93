// Entry of the studio's pages: the figures that they may contain, and the table of models.

import * as prediction from "../figures/allocation/prediction.js";
import * as recipe from "../figures/allocation/recipe.js";
import * as chainsteps from "../figures/drift/chain_steps.js";
import * as compounding from "../figures/drift/compounding.js";
import * as exam from "../figures/drift/exam.js";
import * as sidebyside from "../figures/drift/side_by_side.js";
import * as survival from "../figures/drift/survival.js";
import * as ablate from "../figures/loss/ablate.js";
import * as blocks from "../figures/loss/blocks.js";
import * as bytes from "../figures/loss/bytes.js";
import * as density from "../figures/loss/density.js";
import * as divergence from "../figures/loss/divergence.js";
import * as flips from "../figures/loss/flips.js";
import * as formats from "../figures/loss/formats.js";
import * as intervals from "../figures/loss/intervals.js";
import * as ladder from "../figures/loss/ladder.js";
import * as model from "../figures/loss/model.js";
import * as mapheat from "../figures/loss/model_heat.js";
import * as perplexity from "../figures/loss/perplexity.js";
import * as strip from "../figures/loss/strip.js";
import * as planbars from "../figures/plan/bars.js";
import * as planparts from "../figures/plan/breakdown.js";
import * as ways from "../figures/plan/dataflow.js";
import * as sizebits from "../figures/plan/memory_vs_loss.js";
import * as planranks from "../figures/plan/ranking.js";
import * as roofline from "../figures/plan/roofline.js";
import * as chat from "../labs/chat.js";
import * as jobs from "../labs/jobs.js";
import * as multiply from "../labs/multiply.js";
import * as number from "../labs/number.js";
import * as pathbox from "../labs/path_box.js";
import * as quantizer from "../labs/quantizer.js";
import * as recipeedit from "../labs/recipe_editor.js";
import * as weightslab from "../labs/weights_lab.js";
import { fillModels, keepPlace } from "../lib/model_list.js";
import { mountAll, readIsland } from "../lib/start.js";
import * as reading from "../lib/wait_for_model.js";

const visuals = {
  roofline,
  sizebits,
  planbars,
  planparts,
  planranks,
  divergence,
  flips,
  intervals,
  jobs,
  ladder,
  perplexity,
  chainsteps,
  compounding,
  exam,
  sidebyside,
  survival,
  ablate,
  blocks,
  bytes,
  chat,
  density,
  formats,
  mapheat,
  model,
  multiply,
  number,
  pathbox,
  prediction,
  quantizer,
  reading,
  recipe,
  recipeedit,
  strip,
  ways,
  weightslab,
};
const packed = document.getElementById("data")?.textContent;
mountAll(visuals, packed ? await readIsland() : {});
keepPlace();
await fillModels();
document.documentElement.dataset.filled = "";
