// The roofline: what a device could do, where a format stands under it, what was timed here.
//
// Across: operations for each byte that is read. Up: operations a second. Under the slope memory is
// the limit, under the flat part arithmetic is. More users share what is read: the point goes right.

import {
  axisBelow,
  fact,
  figureParts,
  format,
  h,
  inCount,
  logarithmic,
  percent,
  picture,
  range,
  roving,
  s,
  select,
  toggle,
  value,
  widthOf,
} from "../../lib/draw.js";
import { band, planning, problemOf, questionControls } from "./query.js";

const SHAPES = ["●", "■", "▲", "◆", "★"];
const COLUMNS = ["Runtime", "Phase", "Multiplies", "Activations", "What happens", "Known from"];

export function mount(figure, data, state) {
  const ask = planning(data, state, "/api/speed"),
    { at } = ask,
    controls = questionControls(data, ask),
    { named } = controls;
  const steps = data.batches.length - 1;
  const batch = range({
    label: "Users whose tokens are computed together",
    name: "batch",
    min: 1,
    max: data.batches[steps],
    toSlider: (x) =>
      Math.max(
        data.batches.findLastIndex((b) => b <= x),
        0,
      ),
    fromSlider: (i) => data.batches[Math.round(i)],
    sliderStep: 1,
    onInput: (x) => at.set({ batch: data.batches.findLast((b) => b <= x) ?? 1 }),
    onDone: () => at.set({}, { push: true }),
  });
  const device = select({
    label: "Explain this device",
    name: "device",
    options: [],
    onChange: ask.set("device"),
  });
  const own = state.scope("roof", { timed: true, format: "" }, () => show());
  const kind = select({
    label: "in this format",
    name: "format",
    options: [],
    onChange: (x) => own.set({ format: x }, { push: true }),
  });
  const timed = toggle({
    label: "What bench timed on this machine",
    name: "timed",
    onChange: (x) => own.set({ timed: x }, { push: true }),
  });
  const show = figureParts(
    figure,
    [named.models, named.sizes, named.devices, batch, device, kind, timed, controls.more],
    (plot) => {
      controls.sync();
      batch.set(at.get("batch"));
      timed.querySelector("input").checked = own.get("timed");
      ask.settled(figure);
      if (!ask.answer) return { plot: [problemOf(ask)], reading: [], table: [["device"], []] };
      const a = ask.answer,
        formats = [...new Set(a.marks.map((m) => m.format))];
      if (!a.roofs.length)
        return {
          plot: [h("p", { class: "note" }, "No device with a known bandwidth is chosen.")],
          reading: [],
          table: [["device"], []],
        };
      refill(
        device,
        a.devices.map((d) => [d.id, d.name]),
        at.get("device"),
      );
      refill(
        kind,
        formats.map((name) => [name, name]),
        own.get("format"),
      );
      const drawn = {
        roofs: a.roofs,
        formats,
        names: new Map(a.devices.map((d) => [d.id, d.name])),
        device: device.querySelector("select").value,
        format: kind.querySelector("select").value,
        batch: at.get("batch"),
        timed: own.get("timed") ? a.timed : [],
        phase: at.get("phase"),
      };
      drawn.marks = a.marks.filter((m) => m.phase === "prompt" || m.batch === drawn.batch);
      const one = a.marks.find(
        (m) =>
          m.device === drawn.device &&
          m.format === drawn.format &&
          m.phase === drawn.phase &&
          (drawn.phase === "prompt" || m.batch === drawn.batch),
      );
      const roof = a.roofs.find((r) => r.device === one.device),
        flat = peakOf(roof, one.unit),
        most = Math.min(flat, one.intensity * roof.bandwidth),
        does = one.speed.tokens_per_second * one.operations;
      const pick = (m) => {
        at.set({ device: m.device, phase: m.phase });
        own.set({ format: m.format }, { push: true });
      };
      return {
        plot: [
          chart(plot, drawn, one, pick),
          legend(drawn),
          arithmetic(a.multiply[`${one.device}/${one.format}`], one),
        ],
        reading: [
          fact(
            `${one.model} ${one.format}, ${one.phase === "prompt" ? "reading a prompt" : `writing for ${one.batch}`}, tokens/s`,
            value("speed", one.speed.tokens_per_second, band(one.speed)),
          ),
          fact("speed is", value("basis", null, one.speed.basis)),
          fact("operations a byte", value("intensity", one.intensity)),
          fact(
            "limited by",
            value("limit", null, one.intensity * roof.bandwidth < flat ? "memory" : "arithmetic"),
          ),
          fact("of what could be", value("share", does / most, percent(does / most))),
          one.fits
            ? null
            : h(
                "p",
                { class: "note" },
                "It does not fit there: this would be its speed if it did.",
              ),
          roof.assumed
            ? h(
                "p",
                { class: "note" },
                "The peak of this device is not stated: 25 operations a byte are assumed.",
              )
            : null,
        ].filter(Boolean),
        table: [
          [
            "device",
            "format",
            "phase",
            "batch",
            "operations a byte",
            "operations a second",
            "tokens/s",
            "lowest",
            "highest",
            "is",
          ],
          [
            ...drawn.marks.map((m) => [
              drawn.names.get(m.device),
              m.format,
              m.phase,
              m.batch,
              m.intensity,
              m.speed.tokens_per_second * m.operations,
              m.speed.tokens_per_second,
              m.speed.low,
              m.speed.high,
              m.speed.basis,
            ]),
            ...drawn.timed.map((t) => [
              "this machine",
              t.model,
              t.phase,
              t.batch,
              t.intensity,
              t.tokens_per_second * t.operations,
              t.tokens_per_second,
              t.low,
              t.high,
              "measured",
            ]),
          ],
        ],
      };
    },
  );
  ask.hear(() => show());
}

function refill(control, options, x) {
  const menu = control.querySelector("select"),
    key = JSON.stringify(options);
  if (menu.dataset.key !== key)
    menu.replaceChildren(...options.map(([id, name]) => h("option", { value: id }, name)));
  menu.dataset.key = key;
  menu.value = options.some(([id]) => id === x) ? x : options[0][0];
}

const peak = (roof) => Math.max(...roof.peaks.map(([, ops]) => ops));
/** The peak of the numbers that are really multiplied; what is not stated takes the first that is. */
const peakOf = (roof, unit) => (roof.peaks.find(([kind]) => kind === unit) ?? roof.peaks[0])[1];
const operations = (x) => `${inCount(x)}op/s`;

function chart(plot, drawn, one, pick) {
  const { roofs, marks, timed } = drawn,
    width = widthOf(plot),
    height = 380,
    left = width < 500 ? 56 : 76,
    bottom = height - 42;
  const across = [...marks, ...timed].map((m) => m.intensity),
    ups = [...marks, ...timed].map((m) =>
      m.tokens_per_second ? m.tokens_per_second * m.operations : m.speed.low * m.operations,
    );
  const ends = [
    Math.min(...across, 0.5) / 2,
    Math.max(...across, ...roofs.map((r) => peak(r) / r.bandwidth)) * 4,
  ];
  const x = logarithmic(ends, [left, width - 16]);
  const y = logarithmic([Math.min(...ups) / 2, Math.max(...roofs.map(peak)) * 2], [bottom, 12]);
  const image = picture(
    width,
    height,
    `Roofline of ${roofs.length} devices and ${marks.length} points`,
    axisBelow(x, bottom, { name: "operations for each byte read", x: width - 16, n: 5 }),
    levels(y, left, width - 16),
  );
  roofs.forEach((roof, i) => {
    const top = peak(roof),
      knee = top / roof.bandwidth,
      chosen = roof.device === one.device ? " strong-line" : "";
    image.append(
      s("path", {
        class: `roof g${i % 6}${chosen}`,
        "stroke-dasharray": ["", "7 3", "2 3", "9 3 2 3"][i % 4] || null,
        d: `M${x(ends[0])} ${y(ends[0] * roof.bandwidth)}L${x(knee)} ${y(top)}H${width - 16}`,
      }),
    );
    for (const [, ops] of roof.peaks) {
      if (ops < top)
        image.append(
          s("path", {
            class: `roof thin g${i % 6}`,
            d: `M${x(ops / roof.bandwidth)} ${y(ops)}H${width - 16}`,
          }),
        );
    }
  });
  const titles = roofs.map((roof) =>
    s(
      "text",
      {
        class: roof.device === one.device ? "strong" : "on",
        x: width - 18,
        y: y(peak(roof)) - 5,
        "text-anchor": "end",
      },
      `${shortened(drawn.names.get(roof.device), width)} (${roof.peaks.map(([unit]) => unit).join(", ")})`,
    ),
  );
  image.append(...titles); // over all lines
  for (const t of timed) {
    const px = x(t.intensity),
      up = (rate) => y(rate * t.operations),
      py = up(t.tokens_per_second);
    image.append(
      t.low && t.high
        ? s("line", { class: "whisker", x1: px, x2: px, y1: up(t.low), y2: up(t.high) })
        : "",
      s(
        "path",
        { class: "timed", d: `M${px - 5} ${py - 5}l10 10m0 -10l-10 10` },
        s("title", {}, `${t.model}: ${format(t.tokens_per_second, 4)} tokens/s, timed here`),
      ),
    );
  }
  const order = [...marks].sort(
    (a, b) =>
      a.phase.localeCompare(b.phase) ||
      a.device.localeCompare(b.device) ||
      a.intensity - b.intensity,
  );
  const words = s("g", { class: "words" });
  const dots = order.map((m) => {
    const i = roofs.findIndex((r) => r.device === m.device),
      px = x(m.intensity),
      up = (rate) => y(rate * m.operations);
    const mark = s(
      "g",
      {
        role: "button",
        class: m === one ? "chosen" : "",
        "data-mark": `${m.device}/${m.format}/${m.phase}`,
        "aria-label": `${drawn.names.get(m.device)}, ${m.format}, ${m.phase}: ${band(m.speed)} tokens a second`,
        onclick: () => pick(m),
      },
      s("line", { class: "whisker", x1: px, x2: px, y1: up(m.speed.low), y2: up(m.speed.high) }),
      symbol(
        drawn.formats.indexOf(m.format),
        px,
        up(m.speed.tokens_per_second),
        `dot g${i % 6}${m.phase === "prompt" ? " open" : ""}`,
      ),
    );
    if (m === one)
      words.append(
        s(
          "text",
          {
            class: "strong",
            x: px > width / 2 ? px - 12 : px + 12,
            y: up(m.speed.tokens_per_second) + 18,
            "text-anchor": px > width / 2 ? "end" : "start",
          },
          `${m.format}, ${band(m.speed)} tokens/s`,
        ),
      );
    return mark;
  });
  image.append(...dots, words);
  roving(dots, { start: Math.max(order.indexOf(one), 0), onPress: (i) => pick(order[i]) });
  return image;
}

const shortened = (name, width) =>
  width < 500 && name.length > 18 ? `${name.slice(0, 17)}…` : name;

function levels(y, left, right) {
  const group = s("g", { class: "axis" });
  for (const tick of y.ticks(6)) {
    group.append(
      s("line", { class: "grid", x1: left, x2: right, y1: y(tick), y2: y(tick) }),
      s("text", { x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, operations(tick)),
    );
  }
  return group;
}

function symbol(i, x, y, name) {
  const r = 6,
    paths = [
      null,
      `M${x - r} ${y - r}h${2 * r}v${2 * r}h-${2 * r}z`,
      `M${x} ${y - r - 1}l${r + 1} ${2 * r}h-${2 * r + 2}z`,
      `M${x} ${y - r - 1}l${r + 1} ${r + 1}l-${r + 1} ${r + 1}l-${r + 1} -${r + 1}z`,
      `M${x - r} ${y}h${2 * r}M${x} ${y - r}v${2 * r}`,
    ];
  return i === 0
    ? s("circle", { class: name, cx: x, cy: y, r })
    : s("path", { class: name, d: paths[i] ?? paths[4] });
}

function legend(drawn) {
  return h(
    "p",
    { class: "legend" },
    drawn.formats.map((name, i) => h("span", {}, `${SHAPES[i] ?? SHAPES[4]} ${name}`)),
    h("span", {}, "filled: writing"),
    h("span", {}, "open: reading a prompt of 512"),
    h("span", {}, "line: the band"),
    drawn.timed.length ? h("span", {}, "✕ timed here, one standard deviation to both sides") : null,
  );
}

/** What really happens in the arithmetic there, by runtime and phase. */
function arithmetic(found, one) {
  const kinds = found.native.join(", ");
  return h(
    "div",
    { class: "arithmetic" },
    h("p", { class: "sub" }, `What ${found.device} multiplies for ${found.format}`),
    h(
      "p",
      { class: "note" },
      `${found.family} multiplies ${kinds} natively. A code is ${found.kind} of ${found.bits} bits, ${format(
        found.codes_per_byte,
        3,
      )} to a byte; ${
        found.becomes === found.kind
          ? "the device multiplies it as it is"
          : `at least ${found.becomes} is what the device needs`
      }. ${found.note}`,
    ),
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "group", "aria-label": "What runtimes do" },
      h(
        "table",
        {},
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            COLUMNS.map((name) => h("th", { scope: "col" }, name)),
          ),
        ),
        h(
          "tbody",
          {},
          found.ways.map((way) =>
            h(
              "tr",
              { class: way.phase === one.phase ? "chosen" : "" },
              [
                way.runtime,
                way.phase === "prompt" ? "prompt" : "writing",
                way.unit ? `${way.unit}${way.native ? "" : ", not natively"}` : "cannot",
                way.activations,
                h(
                  "ol",
                  {},
                  way.steps.map((step) => h("li", {}, step)),
                ),
                way.source,
              ].map((cell, i) => h("td", { "data-label": COLUMNS[i] }, cell)),
            ),
          ),
        ),
      ),
    ),
  );
}
