// Entry of the report: the figures that show results of runs.

import * as prediction from "../figures/allocation/prediction.js";
import * as recipe from "../figures/allocation/recipe.js";
import * as chainsteps from "../figures/drift/chain_steps.js";
import * as compounding from "../figures/drift/compounding.js";
import * as exam from "../figures/drift/exam.js";
import * as sidebyside from "../figures/drift/side_by_side.js";
import * as survival from "../figures/drift/survival.js";
import * as bytes from "../figures/loss/bytes.js";
import * as divergence from "../figures/loss/divergence.js";
import * as heat from "../figures/loss/heat.js";
import * as intervals from "../figures/loss/intervals.js";
import * as ladder from "../figures/loss/ladder.js";
import * as spread from "../figures/loss/spread.js";
import * as sizebits from "../figures/plan/memory_vs_loss.js";
import * as curves from "../figures/training/curves.js";
import * as rawdata from "../labs/raw_data.js";
import { mountAll, unpackIsland } from "../lib/start.js";

mountAll(
  {
    bytes,
    intervals,
    divergence,
    heat,
    spread,
    ladder,
    rawdata,
    survival,
    compounding,
    sidebyside,
    sizebits,
    chainsteps,
    exam,
    prediction,
    recipe,
    curves,
  },
  unpackIsland(),
);
