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
