// The report: evidence of runs.

import * as bytes from "./bytes.js";
import * as chainsteps from "./chainsteps.js";
import * as compounding from "./compounding.js";
import * as exam from "./exam.js";
import * as intervals from "./intervals.js";
import * as divergence from "./divergence.js";
import * as heat from "./heat.js";
import * as spread from "./spread.js";
import * as ladder from "./ladder.js";
import * as rawdata from "./rawdata.js";
import * as sidebyside from "./sidebyside.js";
import * as sizebits from "./sizebits.js";
import * as survival from "./survival.js";
import { mountAll, readIsland } from "./start.js";

readIsland().then((data) => mountAll({ bytes, intervals, divergence, heat, spread, ladder, rawdata,
  survival, compounding, sidebyside, sizebits, chainsteps, exam }, data));
