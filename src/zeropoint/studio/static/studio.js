// The pages of the studio: the figures they may have, and the table of models.

import * as ablate from "./ablate.js";
import * as blocks from "./blocks.js";
import * as bytes from "./bytes.js";
import * as chainsteps from "./chainsteps.js";
import * as chat from "./chat.js";
import * as compounding from "./compounding.js";
import * as density from "./density.js";
import * as divergence from "./divergence.js";
import * as exam from "./exam.js";
import * as flips from "./flips.js";
import * as intervals from "./intervals.js";
import * as jobs from "./jobs.js";
import * as ladder from "./ladder.js";
import { fillModels, keepPlace } from "./listing.js";
import * as formats from "./formats.js";
import * as mapheat from "./mapheat.js";
import * as model from "./model.js";
import * as multiply from "./multiply.js";
import * as number from "./number.js";
import * as planbars from "./planbars.js";
import * as planparts from "./planparts.js";
import * as planranks from "./planranks.js";
import * as perplexity from "./perplexity.js";
import * as quantizer from "./quantizer.js";
import * as reading from "./reading.js";
import * as roofline from "./roofline.js";
import * as sidebyside from "./sidebyside.js";
import * as sizebits from "./sizebits.js";
import { mountAll, readIsland } from "./start.js";
import * as strip from "./strip.js";
import * as survival from "./survival.js";
import * as ways from "./ways.js";
import * as weightslab from "./weightslab.js";

const visuals = { roofline, sizebits, planbars, planparts, planranks, divergence, flips, intervals, jobs, ladder, perplexity,
  chainsteps, compounding, exam, sidebyside, survival,
  ablate, blocks, bytes, chat, density, formats, mapheat, model, multiply, number, quantizer, reading, strip, ways, weightslab };
const island = document.getElementById("data").textContent;
mountAll(visuals, island ? await readIsland() : {});
keepPlace();
await fillModels();
document.documentElement.dataset.filled = "";
