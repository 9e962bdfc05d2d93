// Types that several modules share, for the type check (JSDoc names them). Nothing here is served.

// Codecs ---------------------------------------------------------------------------------------

/** A floating-point type: its layout, and what follows from it. */
interface FloatType {
  name: string;
  exponentBits: number;
  mantissaBits: number;
  /** Which codes are no numbers: none, the last one (NaN), or the last exponent (IEEE 754). */
  specials: "none" | "nan" | "ieee";
  bits: number;
  bias: number;
  /** The largest finite magnitude's code, without the sign bit. */
  maxCode: number;
  max: number;
  smallestNormal: number;
  smallest: number;
  /** The distance from 1 to the next larger number. */
  stepAtOne: number;
  maxExponent: number;
}

/** One encoded group: weight ≈ scale · (value − zeroPoint); `codes` are what the file holds. */
interface EncodedGroup {
  scale: number;
  zeroPoint?: number;
  codes: number[];
  values: number[];
  /** What code 8 stands for in FP4 formats without −0. */
  special?: number;
  /** The scale as it is stored, of MXFP4 and NVFP4. */
  byte?: number;
  /** The group's first weight in the row. */
  first?: number;
}

/** A format that the pages can quantize with. Sizes count weights, bytes belong to a group. */
interface Codec {
  name: string;
  bits: number;
  /** Weights of a group; 0: the whole row is one group. */
  size: number;
  bytes: number;
  /** Bytes that all groups of a row share. */
  sharedBytes?: number;
  /** Codes are values by themselves: there is no scale. */
  alone?: boolean;
  /** How the scale of a group is chosen, of formats that have a rule for it. */
  rule?: string;
  encode?: (weights: Float32Array) => EncodedGroup;
  /** Encodes a whole row, where groups depend on each other. */
  encodeAll?: (weights: Float32Array) => EncodedGroup[];
}

/** A format with one scale for each group, chosen by a rule. */
interface GroupCodec extends Codec {
  rule: string;
  encode: (weights: Float32Array) => EncodedGroup;
  /** Round a scale to what the file stores. */
  stored: (scale: number) => number;
  bytesFor: (count: number) => number;
  element?: FloatType;
  special?: number;
  /** Whether the special value may also be negative. */
  both?: boolean;
  given?: GivenScale;
}

/** What a reader sets by hand instead of the rule: a scale, a zero point, a part of the range. */
interface GivenScale {
  scale?: number;
  zeroPoint?: number;
  clip?: number;
}

interface QuantizedRow {
  groups: (EncodedGroup & { first: number })[];
  codes: number[];
  decoded: Float32Array;
  bytes: number;
  bitsPerWeight: number;
}

// Elements --------------------------------------------------------------------------------------

type Child = Node | string | number | null | undefined | Child[];

/** Attributes of an element; functions are listeners, named onclick, oninput, … */
interface Properties {
  [name: string]: string | number | boolean | null | undefined | ((event: any) => void);
}

/** A cell of a table: numbers keep their exact value. */
type Cell = string | number | null | undefined | Node;

/** A control of a figure. `set` shows a value and calls no listener. */
type Control<T, E extends HTMLElement = HTMLElement> = E & { set: (x: T) => void };

/** An option of a menu, [value, text], or a group of them, [name, options]. */
type MenuOption = readonly (string | number | readonly (readonly (string | number)[])[])[];

/** From the numbers of data to pixels. `from` is the inverse, `ticks` are round numbers inside. */
interface Scale {
  (x: number): number;
  from: (pixels: number) => number;
  ticks: (n?: number) => number[];
}

/** A rectangle of a dense picture. */
interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
  class: string;
  name: string;
  told: string;
}

/** The arguments of a table: [columns, rows, caption?]. */
type TableParts = any[];

/** What a figure draws: its plot, the numbers under it, and the table behind it. */
interface DrawnFigure {
  plot: Element | (Element | null)[];
  reading?: Child;
  table?: TableParts | (() => TableParts) | null;
}

// Pages -----------------------------------------------------------------------------------------

/** The JSON of a page (data/ in Python says what is in it). Lists of numbers may be typed arrays. */
interface PageData {
  [key: string]: any;
}

type StateValue = number | string | boolean | number[];

/** A part of the page's state, kept in its address. */
interface StateScope {
  get(key: string): any;
  set(changes: Record<string, StateValue>, options?: { push?: boolean }): void;
}

/** The module lib/state.js, as visuals see it. */
interface PageState {
  scope(name: string, defaults: Record<string, StateValue>, onChange: () => void): StateScope;
  currentSection(): string;
}

/** A visual fills a <figure data-visual="NAME">. */
interface Visual {
  mount(figure: HTMLElement, data: PageData, state: PageState): void;
}
