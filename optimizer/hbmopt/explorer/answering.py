"""What a page shows of a curve, as plain data: asked of the library's own verbs in a process.

Each answer takes a curve and returns what JSON can hold. The last frontiers are kept, as what is
asked next is mostly about one of them.
"""

import math
from collections import OrderedDict
from typing import Any, TypeAlias

from hbmopt.basics import input_name, made, show
from hbmopt.explorer.controls import controls, settled
from hbmopt.explorer.curve import Curve, Sources
from hbmopt.explorer.taken_along import command_line, instance_yaml, python_lines
from hbmopt.instance import Instance, llm_name, rack_name
from hbmopt.report.charts import NOTHING, live_limits, live_line
from hbmopt.report.html import Html, joined
from hbmopt.report.page import (
    answer_section,
    certificate_section,
    conflict_section,
    cost_section,
    cures_section,
    heading,
    limits_section,
    power_caps,
    power_rows,
    report_page,
    step_section,
)
from hbmopt.results import Solution, priced_solution
from hbmopt.studies.conflict import explain
from hbmopt.studies.frontier import Frontier, frontier

Answer: TypeAlias = dict[str, Any]

WITHIN, MOVING = 0.003, 0.01
"""Share by which points may be better that are left out of a drawing, at rest and while it moves.

The first is about a pixel.
"""

FIRST_SPEED = 1.0
"""Speed in tok/s per user from which on curves are drawn: what is slower nobody reads."""

KEPT = 12
"""Frontiers that a process keeps."""


class Answers:
    """The answers of one process."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._frontiers = OrderedDict[tuple[Curve, float, float], Frontier]()

    def question(self, curve: Curve) -> Answer:
        """Return what can be moved and chosen, and the curve without what no longer fits it."""
        asked = settled(self._sources, curve)
        return {"changes": dict(asked.changes), "controls": controls(self._sources, asked)}

    def moving_line(self, curve: Curve, per: str) -> Answer:
        """Return what `line` does, less exactly and sooner."""
        return self.line(curve, per, MOVING)

    def line(self, curve: Curve, per: str, within: float = WITHIN) -> Answer:
        """Return the corners of a frontier, its ends, and the range of four of five cases."""
        instance = self._instance(curve)
        found = self._frontier(curve, instance, within)
        named = {
            "rack": rack_name(instance.rack),
            "llm": llm_name(instance.llm),
            "note": self._note(instance),
        }
        return named | live_line(found, per)

    def limits(self, curve: Curve) -> Answer:
        """Return what limits along a frontier: the speed from which on each stretch runs."""
        return {"stretches": live_limits(self._frontier(curve, self._instance(curve)))}

    def answer(self, curve: Curve) -> Answer:
        """Return the optimum of a curve in words, with limits, prices, costs and kernels."""
        instance = self._instance(curve)
        return self._told(instance, priced_solution(instance))

    def plan(self, curve: Curve, speed: float) -> Answer:
        """Return the plan at a point of a curve: the optimum at that speed, in six digits."""
        step = 10.0 ** (math.floor(math.log10(speed)) - 5) if speed > 0 else 1.0
        floor = f"{math.floor(speed / step) * step:.6g} tok/s/user"
        instance = self._instance(curve.changed(limits__min_speed=floor))
        return self._told(instance, priced_solution(instance))

    def cures(self, curve: Curve) -> Answer:
        """Return the smallest changes under which something can be served."""
        return {"html": cures_section(explain(self._instance(curve)).cures)}

    def caps(self, curve: Curve) -> Answer:
        """Return round power caps for a curve in kW, and the cap that holds."""
        instance = self._instance(curve)
        return {"caps": power_caps(instance), "cap": instance.power_cap_kw}

    def power(self, curve: Curve, caps: list[float]) -> Answer:
        """Return throughput under power caps, and what one more kW is worth."""
        rows = [
            {
                "power_kw": row["power_kw"],
                "throughput": row.get("throughput_tok_s"),
                "price": row.get("price_power_cap"),
                "limit": input_name(row.get("limiting_resource")) or NOTHING,
            }
            for row in power_rows(self._instance(curve), caps)
            if row.get("status") == "optimal"
        ]
        return {"rows": rows}

    def report(self, curve: Curve) -> Answer:
        """Return the page to send on a curve."""
        path = self._sources.path(curve.source)
        command = command_line(self._sources, curve, "report")
        return {"html": report_page(path, curve.overrides, command=command).html}

    def _instance(self, curve: Curve) -> Instance:
        return self._sources.instance(curve)

    def _frontier(self, curve: Curve, instance: Instance, within: float = WITHIN) -> Frontier:
        """Return the frontier of a curve from the slowest speed on, for a drawing."""
        choices = instance.choices.model_copy(update={"uniform": True, "whole_sequences": True})
        asked = instance.model_copy(update={"choices": choices, "objective": "throughput"})
        asked = asked.at_floor(FIRST_SPEED)
        changes = tuple(one for one in curve.changes if one[0] != "limits.min_speed")
        key = Curve(curve.source, changes), self._sources.written(curve.source), within
        found = self._frontiers.pop(key, None)
        if found is None:
            found = frontier(asked, within=within)
        self._frontiers[key] = found
        while len(self._frontiers) > KEPT:
            self._frontiers.popitem(last=False)
        return found

    def _told(self, instance: Instance, solution: Solution) -> Answer:
        """Return a solution in sections, and where its mark stands."""
        if not solution.feasible:
            return {"html": joined(heading(solution), conflict_section(solution)), "mark": None}
        sections = [
            heading(solution),
            answer_section(instance, solution),
            limits_section(solution),
            step_section(solution, Html()),
            cost_section(solution),
            certificate_section(solution),
        ]
        amounts, speeds = solution.throughput_range_tok_s, solution.speed_range_tok_s_user
        return {
            "html": joined(*sections),
            "mark": {
                "speed": solution.speed_tok_s_user,
                "throughput": solution.throughput_tok_s,
                "throughputs": amounts,
                "speeds": speeds,
                "power_kw": (solution.power_w or 0.0) / 1e3,
                "limit": input_name(solution.limiting_resource) or "nothing",
                "words": self._words(solution),
            },
        }

    def _note(self, instance: Instance) -> str:
        """Return in which way a curve differs from the answer beside it."""
        choices = instance.choices
        if instance.objective != "throughput":
            return f"The curve is that of throughput; the answer, that of {instance.objective}."
        if not choices.uniform:
            return "The curve is that of one configuration at a time, unlike the answer."
        if not choices.whole_sequences:
            return "The curve is that of whole sequences, unlike the answer."
        return ""

    def _words(self, solution: Solution) -> str:
        banded = solution.throughput_range_tok_s is not None
        most = made(solution.throughput_tok_s or 0.0, banded=banded)
        return f"{most} tok/s at {show(solution.speed_tok_s_user or 0.0)} tok/s per user"

    def texts(self, curve: Curve) -> Answer:
        """Return what can be copied: file, command and Python."""
        curve = settled(self._sources, curve)
        return {
            "yaml": instance_yaml(self._sources, curve),
            "command": command_line(self._sources, curve),
            "python": python_lines(self._sources, curve),
        }
