"""Options of `plan`. They are defined in `plans`, because the studio's planner takes them too."""

from zeropoint.plans.planner.options import PlanOptions

__all__ = ["PlanOptions"]
