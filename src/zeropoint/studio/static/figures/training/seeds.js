// What several seeds of one format have in common.

/** Mean, lowest and highest loss over the seeds, as far as all of them have come. */
export function summary(curves) {
  const length = Math.min(...curves.map((curve) => curve.tokens.length));
  return curves[0].tokens.slice(0, length).map((tokens, i) => {
    const losses = curves.map((curve) => curve.held_out[i]);
    return {
      tokens,
      mean: losses.reduce((sum, loss) => sum + loss, 0) / losses.length,
      low: Math.min(...losses),
      high: Math.max(...losses),
    };
  });
}
