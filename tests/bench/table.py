# SPDX-License-Identifier: Apache-2.0
"""The limits of figures, and the table that shows the figures."""


class Reach:
    """A limit of a figure: its text, and a function that returns true if the values (floor, ours, peer)
    meet it. `needs` names the values that the function requires."""

    def __init__(self, text, met, needs=()):
        self.text, self.met, self.needs = text, met, needs

    def __and__(self, other):
        return Reach(f"{self.text}, {other.text}", lambda v: self.met(v) and other.met(v),
                     (*self.needs, *other.needs))

    def verdict(self, values):
        if values["ours"] is None or any(values[name] is None for name in self.needs):
            return "–"
        return "yes" if self.met(values) else "NO"


def at_most(limit, text=None):
    return Reach(text or f"≤ {limit:g}", lambda v: v["ours"] <= limit)


def at_least(limit, text=None):
    return Reach(text or f"≥ {limit:g}", lambda v: v["ours"] >= limit)


def floor_at_most(factor, name="floor"):
    return Reach(f"≤ {factor:g} × {name}", lambda v: v["ours"] <= factor * v["floor"], ("floor",))


def floor_at_least(factor, name="floor"):
    return Reach(f"≥ {factor:g} × {name}", lambda v: v["ours"] >= factor * v["floor"], ("floor",))


def peer_at_most(factor):
    return Reach(f"≤ {factor:g} × peer", lambda v: v["ours"] <= factor * v["peer"], ("peer",))


def peer_at_least(factor):
    return Reach(f"≥ {factor:g} × peer", lambda v: v["ours"] >= factor * v["peer"], ("peer",))


def number(value):
    """Formats a number with three significant digits and no exponent."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    size = abs(value)
    places = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:.{places}f}"


def ratio(values, to):
    if values["ours"] is None or not values[to]:
        return "–"
    return number(values["ours"] / values[to])


class Table:
    HEADER = ("figure", "unit", "floor", "ours", "peer", "ours/floor", "ours/peer", "reach", "met")
    LEFT = (0, 1, 7, 8)

    def __init__(self):
        self.rows = []
        self.verdicts = {"yes": 0, "NO": 0, "–": 0}

    def section(self, title):
        self.rows.append([title.upper()] + [""] * (len(self.HEADER) - 1))

    def add(self, name, unit, values, reach=None):
        met = reach.verdict(values) if reach else ""
        if reach:
            self.verdicts[met] += 1
        self.rows.append([name, unit, *(number(values[k]) for k in ("floor", "ours", "peer")),
                          ratio(values, "floor"), ratio(values, "peer"),
                          reach.text if reach else "", met])

    def __str__(self):
        rows = [self.HEADER, *self.rows]
        width = [max(len(row[i]) for row in rows) for i in range(len(self.HEADER))]
        lines = []
        for row in rows:
            cells = (cell.ljust(width[i]) if i in self.LEFT else cell.rjust(width[i])
                     for i, cell in enumerate(row))
            lines.append("  ".join(cells).rstrip())
        return "\n".join(lines)

    def summary(self):
        """Returns one line: how many limits are met, and how many lack a value that they need."""
        text = f"{self.verdicts['yes']} limits reached, {self.verdicts['NO']} missed"
        if self.verdicts["–"]:
            text += f", {self.verdicts['–']} not judged: there is no peer to compare with"
        return text
