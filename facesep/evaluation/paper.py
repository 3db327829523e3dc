"""The numbers that the paper reports, for the rows beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from facesep.evaluation.statistics import Row

QUALITY = ("LPIPS", "L1", "SSIM", "IC", "AED", "ATD", "AID", "APD")
"""Columns of the paper's Tables 2, 5 and 6. IC grows with likeness, as SSIM; the others shrink."""
FACTORS = ("shape", "expression", "texture", "illumination", "pose")
"""Columns of the paper's Table 3."""

TABLE_2: dict[str, tuple[float, ...]] = {
    "Ours": (0.2713, 0.0610, 0.8112, 0.7151, 0.0699, 0.0318, 0.0344, 0.020),
    "HeadNeRF": (0.3187, 0.1260, 0.7553, 0.5439, 0.1307, 0.1137, 0.3143, 0.032),
    "Deep3DFace": (0.3868, 0.1888, 0.7231, 0.5779, 0.0729, 0.0409, 0.0431, 0.022),
    "DECA": (0.3098, 0.0948, 0.5753, 0.2047, 0.3168, 0.1636, 0.2861, 0.078),
    "MoFaNeRF-fine": (0.3255, 0.1217, 0.4532, 0.2118, 0.6036, 0.2682, 0.6129, 0.044),
}
TABLE_3: dict[str, tuple[float | None, ...]] = {
    "Ours": (8.74, 54.5, 39.1, 476.0, 42.0),
    "HeadNeRF": (7.91, 52.1, 36.7, 471.0, 41.5),
    "Deep3DFace": (5.76, 39.6, 38.3, 386.0, 42.5),
    "DECA": (4.46, 54.8, 28.8, 367.0, 36.9),
    "MoFaNeRF-fine": (3.12, 21.6, 21.3, None, 37.8),
}
TABLE_4: dict[str, float] = {
    "Deep3DFace": 55.0,
    "DECA": 17.0,
    "MoFaNeRF": 0.002,
    "HeadNeRF": 0.031,
    "Ours": 15.0,
}
"""Frames per second on an RTX 3090."""
TABLE_5: dict[str, tuple[float, ...]] = {
    "w/o L_dis": (0.2719, 0.0641, 0.8106, 0.7065, 0.0710, 0.0330, 0.0353, 0.020),
    "w/o L_cyc": (0.2854, 0.0743, 0.7793, 0.6884, 0.0750, 0.0599, 0.0443, 0.023),
    "w/o z_hair": (0.2798, 0.0715, 0.7854, 0.6954, 0.0724, 0.0597, 0.0431, 0.021),
    "Ours": TABLE_2["Ours"],
}
TABLE_6: dict[str, tuple[float, ...]] = {
    "10 epochs": (0.3244, 0.1504, 0.7411, 0.5248, 0.1801, 0.1330, 0.1937, 0.037),
    "50 epochs": (0.2945, 0.1165, 0.7843, 0.6063, 0.1341, 0.0914, 0.1135, 0.028),
    "100 epochs": (0.2814, 0.0843, 0.7994, 0.6833, 0.0958, 0.0531, 0.0704, 0.023),
    "150 epochs": TABLE_2["Ours"],
}


def quality_rows(values: Mapping[str, Sequence[float]], label: str) -> list[Row]:
    """Rows of Table 2, 5 or 6 as the paper prints them."""
    return [
        {label: f"paper: {name}", **{c: f"{v:.4f}" for c, v in zip(QUALITY, row, strict=True)}}
        for name, row in values.items()
    ]


def score_rows(label: str) -> list[Row]:
    """Rows of Table 3 as the paper prints them."""
    return [
        {
            label: f"paper: {name}",
            **{c: None if v is None else f"{v:.3g}" for c, v in zip(FACTORS, row, strict=True)},
        }
        for name, row in TABLE_3.items()
    ]
