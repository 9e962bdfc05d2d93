// Float types side by side: their range, their resolution, and how each rounds one number.

import { decodeFloat, encodeFloat, FLOATS } from "../../codecs/floats.js";
import { axisBelow } from "../../lib/axes.js";
import { moreOptions, numbers } from "../../lib/controls.js";
import { picture, s, widthOf } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { format, percent, superscript } from "../../lib/format.js";
import { linear } from "../../lib/scales.js";
import { fact, value } from "../../lib/table.js";
import { piecePicker } from "../../lib/tensor_picker.js";

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const picker = piecePicker(data, state, () => show());
  const at = state.scope("strip", { value: NaN }, () => show());
  const box = numbers({
    label: "Number",
    name: "number",
    onChange: ([x]) => at.set({ value: x }, { push: true }),
  });
  box.classList.remove("wide");
  const show = figureParts(figure, [box, moreOptions(picker.control)], (plot) => {
    const typed = at.get("value"),
      x = Number.isNaN(typed) ? picker.current().values[0] : typed;
    box.set([x]);
    picker.sync();
    const rows = Object.values(FLOATS).map((type) => {
      const stored = decodeFloat(type, encodeFloat(type, x));
      return { type, stored, error: x ? Math.abs(stored - x) / Math.abs(x) : 0 };
    });
    return {
      plot: [chart(plot, rows, x)],
      reading: rows.map(({ type, stored, error }) =>
        fact(
          type.name.replace("_", " "),
          value(
            `stored-${type.name}`,
            stored,
            stored || !x
              ? `${format(stored, 5)} (${error ? percent(error, error < 0.001 ? 4 : 1) : "exact"})`
              : "0 (below its smallest number)",
          ),
        ),
      ),
      table: [
        [
          "type",
          "bits",
          "exponent bits",
          "significand bits",
          "largest",
          "smallest normal",
          "smallest above 0",
          "step at 1",
          "finite codes",
          "stored",
          "relative error",
        ],
        rows.map(({ type, stored, error }) => [
          type.name,
          type.bits,
          type.exponentBits,
          type.mantissaBits,
          type.max,
          type.smallestNormal,
          type.smallest,
          type.stepAtOne,
          2 * (type.maxCode + 1),
          stored,
          error,
        ]),
      ],
    };
  });
}

function chart(plot, rows, number) {
  const width = widthOf(plot),
    left = 92,
    step = 30;
  const height = rows.length * step + 44,
    bottom = height - 34;
  const x = linear([-150, 130], [left, width - 16]);
  const image = picture(
    width,
    height,
    "Range of float types, as powers of two, with their bits of precision",
    axisBelow(x, bottom, { n: 6, label: (p) => (p ? `2${superscript(p)}` : "1") }),
  );
  rows.forEach(({ type }, i) => {
    const y = i * step + 10,
      ends = [type.smallest, type.smallestNormal, type.max].map((v) => x(Math.log2(v)));
    image.append(
      s("text", { x: left - 8, y: y + 12, "text-anchor": "end" }, type.name.replace("_", " ")),
      s("rect", {
        class: "area",
        x: ends[0],
        width: Math.max(ends[1] - ends[0], 1),
        y: y + 4,
        height: 9,
      }),
      s("rect", {
        class: "bar",
        x: ends[1],
        width: Math.max(ends[2] - ends[1], 2),
        y,
        height: 17,
        rx: 2,
      }),
    );
    const label = `step at 1: ${format(type.stepAtOne, 3)}`;
    const outside = ends[2] + 130 > width;
    image.append(
      s(
        "text",
        {
          x: outside ? ends[2] - 8 : ends[2] + 6,
          y: y + 13,
          "text-anchor": outside ? "end" : "start",
          class: outside ? "on-fill" : "",
        },
        label,
      ),
    );
  });
  const place = x(Math.log2(Math.abs(number)));
  if (number && place > left) {
    image.append(s("line", { class: "needle", x1: place, x2: place, y1: 2, y2: bottom }));
  }
  return image;
}
