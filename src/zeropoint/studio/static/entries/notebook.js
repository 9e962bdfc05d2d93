// One result in a notebook: the figure of the report that shows it.

import * as compounding from "../figures/drift/compounding.js";
import * as survival from "../figures/drift/survival.js";
import * as intervals from "../figures/loss/intervals.js";
import * as ladder from "../figures/loss/ladder.js";
import { mountAll, readIsland } from "../lib/start.js";

readIsland().then((data) => mountAll({ compounding, intervals, ladder, survival }, data));
