// Entry of every page of the studio: the button of the sidebar.

import { foldMenu } from "../lib/menu.js";

foldMenu();
