"""A small map of MIMO-UNet, for pages that are about one of its parts."""

from IPython.display import SVG

from mimo.figures import SCALE_COLOURS

# The inputs of each part, in order. A page of the book checks them against the network.
WIRES = {
    "stem": ["B.1"],
    "encoder.1": ["stem"],
    "down.2": ["encoder.1"],
    "scm.2": ["B.2"],
    "fam.2": ["down.2", "scm.2"],
    "encoder.2": ["fam.2"],
    "down.3": ["encoder.2"],
    "scm.3": ["B.3"],
    "fam.3": ["down.3", "scm.3"],
    "encoder.3": ["fam.3"],
    "aff.1": ["encoder.1", "encoder.2", "encoder.3"],
    "aff.2": ["encoder.1", "encoder.2", "encoder.3"],
    "decoder.3": ["encoder.3"],
    "up.2": ["decoder.3"],
    "merge.2": ["up.2", "aff.2"],
    "decoder.2": ["merge.2"],
    "up.1": ["decoder.2"],
    "merge.1": ["up.1", "aff.1"],
    "decoder.1": ["merge.1"],
    **{f"head.{k}": [f"decoder.{k}"] for k in (1, 2, 3)},
    **{f"S.{k}": [f"B.{k}", f"head.{k}"] for k in (1, 2, 3)},
}

_COLUMN = {"B": 0, "stem": 1, "scm": 1, "fam": 2, "down": 2.5, "encoder": 3, "aff": 4.1}
_COLUMN |= {"merge": 5.2, "up": 5.7, "decoder": 6.2, "head": 7.2, "S": 8.2}
_LABEL = {"encoder": "EB", "decoder": "DB", "scm": "SCM", "fam": "FAM", "aff": "AFF", "S": "Ŝ"}
_WIDE, _HIGH, _COLUMN_PX, _ROW_PX = 54, 26, 68, 90


def network_map(*lit: str) -> SVG:
    """MIMO-UNet from left to right, a row for each scale; parts that are not named are pale.

    lit: parts by name, as in `MIMOUNet.trace`, such as "scm.2", or by kind, such as "scm".
    Raises ValueError for a part that does not exist.
    """
    names = dict.fromkeys([*(b for takes in WIRES.values() for b in takes), *WIRES])
    scale = {name: int(name[-1]) if "." in name else 1 for name in names}
    kind = {name: name.split(".")[0] for name in names}
    if unknown := set(lit).difference(kind, kind.values()):
        raise ValueError(f"no part of the network: {', '.join(sorted(unknown))}")
    between = {"down": -0.5, "up": 0.5}  # in rows
    x = {n: 34 + _COLUMN_PX * _COLUMN[kind[n]] for n in names}
    y = {n: 24 + _ROW_PX * (scale[n] - 1 + between.get(kind[n], 0)) for n in names}
    shown = {n: n in lit or kind[n] in lit for n in names}

    def wire(before: str, name: str) -> str:
        x0, x1, dash = x[before] + _WIDE / 2, x[name] - _WIDE / 2 - 4, ""
        if kind[name] == "S" and kind[before] == "B":  # below everything in between
            dash = 'stroke-dasharray="3 3"'
            bend = f"M{x[before]} {y[before] + _HIGH / 2} v12 H{x[name]} V{y[name] + _HIGH / 2 + 4}"
        elif x[before] > x[name] - _COLUMN_PX / 2 - 1 and y[before] != y[name]:  # up or down
            far = _HIGH / 2 if y[name] > y[before] else -_HIGH / 2
            bend = f"M{x[before]} {y[before] + far} L{x[name]} {y[name] - 1.3 * far}"
        else:
            bend = f"M{x0} {y[before]} L{x1} {y[name]}"
        return (
            f'<path d="{bend}" {dash} fill="none" stroke="{SCALE_COLOURS[scale[before]]}" '
            f'opacity="{1 if shown[name] else 0.3}" marker-end="url(#tip{scale[before]})"/>'
        )

    def box(name: str) -> str:
        colour, on = SCALE_COLOURS[scale[name]], shown[name]
        word = _LABEL.get(kind[name], kind[name]) + "₁₂₃"[scale[name] - 1] * ("." in name)
        return (
            f'<rect x="{x[name] - _WIDE / 2}" y="{y[name] - _HIGH / 2}" width="{_WIDE}" '
            f'height="{_HIGH}" rx="4" stroke="{colour}" stroke-opacity="{1 if on else 0.4}" '
            f'fill="{colour}" fill-opacity="{0.3 if on else 0}"/><text x="{x[name]}" '
            f'y="{y[name] + 4.5}" fill="{"black" if on else "#767676"}">{word}</text>'
        )

    tips = (
        f'<marker id="tip{k}" viewBox="0 0 6 6" refX="2" refY="3" markerWidth="5" markerHeight="5" '
        f'orient="auto"><path d="M0 0L6 3L0 6z" fill="{c}"/></marker>'
        for k, c in SCALE_COLOURS.items()
    )
    wires = (wire(before, name) for name, takes in WIRES.items() for before in takes)
    drawn = "".join([*tips, *wires, *map(box, names)])
    wide, high = 68 + _COLUMN_PX * _COLUMN["S"], 66 + 2 * _ROW_PX
    return SVG(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" '
        f'height="{high}" font-family="sans-serif" font-size="13" text-anchor="middle">'
        f'<rect width="100%" height="100%" fill="white"/>{drawn}</svg>'
    )
